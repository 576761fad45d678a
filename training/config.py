"""What a training is told: one YAML file, read into one strict model that the manifest keeps whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from evals.cases import ID_PATTERN
from evals.checks.answers import shorten
from evals.checks.base import Strict
from evals.documents import read_document
from evals.errors import Problem, SettingsError
from evals.wording import problems_of

Method = Literal["auto", "bf16", "qlora", "hqq", "fp32"]
ModuleName = Annotated[str, Field(min_length=1)]


class _Numbers(Strict):
    """YAML knows .nan and .inf; no setting here is either."""

    model_config = ConfigDict(allow_inf_nan=False)


class LoraConfig(_Numbers):
    """The adapter: two narrow matrices beside each target module, whose product times alpha / rank is added."""

    rank: int = Field(default=16, ge=1, description="width of the two matrices")
    alpha: int = Field(default=32, ge=1, description="the product is scaled by alpha / rank")
    dropout: float = Field(
        default=0.05, ge=0, lt=1, description="share of the adapter's inputs that is dropped, a fraction"
    )
    targets: Literal["all-linear"] | list[ModuleName] = Field(
        default="all-linear",
        min_length=1,
        description="'all-linear' (all but the output layer) or names of modules: [q_proj, v_proj]",
    )


class ScheduleConfig(_Numbers):
    """How the adapter is trained."""

    method: Method = Field(
        default="auto",
        description="bf16: LoRA on bfloat16 weights; qlora: on 4-bit nf4 weights (bitsandbytes); hqq: on 4-bit HQQ "
        "weights; fp32; auto: bf16 on a GPU that has it, else fp32",
    )
    epochs: float = Field(default=2, gt=0, description="how often each example is seen")
    max_steps: int | None = Field(default=None, ge=1, description="steps of the optimiser, instead of epochs")
    batch: int = Field(default=1, ge=1, description="examples at once, on each device")
    accumulate: int = Field(default=8, ge=1, description="batches in a step of the optimiser")
    learning_rate: float = Field(default=2e-4, gt=0, description="at the end of the warm-up")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear", description="of the learning rate after the warm-up"
    )
    warmup: float = Field(default=0.03, ge=0, lt=1, description="share of all steps, a fraction")
    weight_decay: float = Field(default=0, ge=0)
    neftune: float | None = Field(
        default=None, gt=0, description="alpha of the noise on embeddings (NEFTune, arXiv 2310.05914)"
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="of the adapter's start, data order and dropout")
    checkpointing: bool = Field(
        default=True, description="activations are computed again on the way back: slower, far less memory"
    )
    group_by_length: bool = Field(
        default=True, description="batches of examples of like length: less padding"
    )
    share_prefix: bool = Field(
        default=False,
        description="examples of a batch that begin alike (a system message) are computed as one row: the same gradients, "
        "far fewer tokens; for bases of plain attention, and larger batches",
    )
    early_stop: int | None = Field(
        default=None,
        ge=1,
        description="evaluations in a row without a better held-out loss until it stops; the best adapter is kept",
    )
    evaluate_every: int | None = Field(default=None, ge=1, description="steps; once an epoch if left out")
    save_every: int | None = Field(
        default=None, ge=1, description="steps between checkpoints; once an epoch if left out"
    )

    @model_validator(mode="after")
    def _noise_is_that_of_separate_rows(self) -> Self:
        if self.share_prefix and self.neftune is not None:
            raise ValueError(
                "neftune and share_prefix do not go together: its noise shrinks as the row grows, and a shared row is that "
                "of a whole batch; leave out one of them"
            )
        return self


class TrainConfig(_Numbers):
    """A training's file. Paths in it are relative to it."""

    name: str = Field(pattern=ID_PATTERN, description="of the model in Ollama, without a tag")
    task: str = Field(default="", pattern=rf"^$|{ID_PATTERN}", description="the golden task that it learns")
    base: str = Field(
        default="gguf:smollm2-135m",
        min_length=1,
        description="a folder (absolute, or relative to where the command runs), an ID on the hub, or gguf:NAME_OR_PATH",
    )
    base_ollama: str = Field(default="", description="the base's tag in Ollama, if it is there")
    data: str = Field(min_length=1, description="the JSONL file of examples")
    held_out: float = Field(
        default=0.1, ge=0, le=0.5, description="share of examples that only measure, a fraction"
    )
    max_length: int = Field(default=2048, ge=16, description="tokens of prompt and completion")
    allow_contamination: str = Field(
        default="", description="why examples that overlap with golden cases may stay; kept in the manifest"
    )
    lora: LoraConfig = LoraConfig()
    train: ScheduleConfig = ScheduleConfig()

    @field_validator("allow_contamination")
    @classmethod
    def _reason_is_one(cls, value: str) -> str:
        if value and not value.strip():
            raise ValueError("is blank: say why the overlaps may stay, or leave it out")
        return value

    @model_validator(mode="after")
    def _early_stop_has_what_it_needs(self) -> Self:
        if self.train.early_stop is None:
            return self
        if not self.held_out:
            raise ValueError("train.early_stop needs held-out examples; set held_out to 0.1, say")
        if self.train.save_every != self.train.evaluate_every:
            raise ValueError(
                "with train.early_stop a checkpoint is saved at each evaluation, so that the best can be kept: "
                "give save_every the value of evaluate_every, or leave out both"
            )
        return self


_SECTIONS: dict[str, type[Strict]] = {"lora": LoraConfig, "train": ScheduleConfig}


def _with_keys(problem: Problem) -> Problem:
    section = _SECTIONS.get(problem.field.partition(".")[0])
    if problem.what != "unknown key" or "." not in problem.field or section is None:
        return problem
    return replace(problem, mend=f"keys there: {', '.join(section.model_fields)}")


def read_config(path: Path) -> TrainConfig:
    """A training's file, with `data` as a path from here; raises `SettingsError` with each problem of it, by line."""
    document, problems = read_document(path)
    if not problems:
        try:
            config = TrainConfig.model_validate(document.value)
        except ValidationError as error:
            problems = [_with_keys(one) for one in problems_of(error, document, (), TrainConfig)]
        else:
            try:
                data = path.parent / Path(config.data).expanduser()
                if data.is_file():
                    return config.model_copy(update={"data": str(data)})
                what = f"there is no file {data}"
            except (OSError, RuntimeError) as error:  # a name that is too long, ~ of nobody
                what = f"{shorten(config.data)} cannot be the name of a file: {getattr(error, 'strerror', None) or error}"
            problems = [Problem(path, document.line(("data",)), "data", what)]
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise SettingsError("\n".join([f"{count} in the training's config:", *map(str, problems)]))
