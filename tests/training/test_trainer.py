"""TRL trains on our tokens and masks, writes no pickle, goes on as if it had not stopped, and stops where it has to."""

from __future__ import annotations

import json
import math
import random
import socket
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from evals.errors import TrainingError
from tests.small_hf_model import save_model
from training.checkpoints import checkpoint_folder, checkpoints, latest_checkpoint
from training.config import LoraConfig, ScheduleConfig, TrainConfig
from training.encode import Encoded
from training.no_pickle import refuse_pickles
from training.sft_arguments import as_dataset
from training.shared_prefix import NO_LOSS
from training.trainer import AdapterTrainer, Step


def _examples(count: int, seed: int = 3) -> list[Encoded]:
    """Random tokens of 8 to 30, the last half of them with loss."""
    drawn = random.Random(seed)
    lengths = [drawn.randrange(8, 30) for _ in range(count)]
    return [
        Encoded(tuple(drawn.randrange(256) for _ in range(length)), length // 2, line, 0)
        for line, length in enumerate(lengths, start=1)
    ]


EXAMPLES = _examples(14)
TRAIN, HELD_OUT = EXAMPLES[:11], EXAMPLES[11:]


class Stopped(Exception):
    """What breaks a training off in a test."""


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("base"))


Make = Callable[..., AdapterTrainer]


@pytest.fixture
def make(base: Path, tmp_path: Path) -> Make:
    """Makes a trainer in a folder of the test; keywords are those of `train:` and `lora:`, `steps` is told each loss."""

    def made(
        folder: str = "out",
        *,
        steps: list[Step] | None = None,
        stop_at: int | None = None,
        lora: dict[str, Any] | None = None,
        train: list[Encoded] = TRAIN,
        held_out: list[Encoded] | None = None,
        **plan: Any,
    ) -> AdapterTrainer:
        (tmp_path / folder).mkdir(exist_ok=True)

        def told(one: Step) -> None:
            if steps is not None:
                steps.append(one)
            if one.step == stop_at and not one.held_out:
                raise Stopped

        defaults = {"method": "fp32", "batch": 2, "accumulate": 2, "learning_rate": 5e-3, "epochs": 2}
        return AdapterTrainer(
            transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
            transformers.AutoTokenizer.from_pretrained(base),
            TrainConfig(
                name="small",
                base="the-base",
                data="examples.jsonl",
                lora=LoraConfig.model_validate({"rank": 4, "dropout": 0.1} | (lora or {})),
                train=ScheduleConfig.model_validate(defaults | plan),
            ),
            tmp_path / folder,
            train=train,
            held_out=HELD_OUT if held_out is None else held_out,
            bf16=False,
            began=lambda _: None,
            told=told,
            since=time.perf_counter(),
        )

    return made


def losses(steps: list[Step], *, held_out: bool = False) -> dict[int, float]:
    return {one.step: one.loss for one in steps if one.held_out is held_out}


# What is trained


def test_labels_are_the_tokens_from_the_completion_on() -> None:
    rows = as_dataset([Encoded((5, 6, 7, 8), 2, 1, 0), Encoded((9, 10), 1, 2, 0)])

    assert rows["input_ids"][:] == [[5, 6, 7, 8], [9, 10]]
    assert rows["labels"][:] == [[NO_LOSS, NO_LOSS, 7, 8], [NO_LOSS, 10]]


def test_the_mask_reaches_the_batches_untouched(make: Make) -> None:
    rows = []
    for batch in make().get_train_dataloader():
        for tokens, labels, mask in zip(
            batch["input_ids"].tolist(),
            batch["labels"].tolist(),
            batch["attention_mask"].tolist(),
            strict=True,
        ):
            length = sum(mask)
            assert set(labels[length:]) <= {NO_LOSS}
            rows.append((tuple(tokens[:length]), tuple(labels[:length])))

    expected = [
        (one.input_ids, (NO_LOSS,) * one.completion_from + one.input_ids[one.completion_from :])
        for one in TRAIN
    ]
    assert sorted(rows) == sorted(expected)


def test_the_first_loss_is_the_base_s_own_on_the_completions_alone(make: Make, base: Path) -> None:
    steps: list[Step] = []
    trainer = make(steps=steps, lora={"dropout": 0}, max_steps=1)
    first = [TRAIN[place] for place in list(trainer.order)[:4]]
    trainer.train()

    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    total, count = 0.0, 0
    for one in first:
        with torch.no_grad():
            logits = model(torch.tensor([one.input_ids])).logits[0]
        for place in range(one.completion_from, len(one.input_ids)):
            total -= float(logits[place - 1].log_softmax(-1)[one.input_ids[place]])
            count += 1
    assert losses(steps)[1] == pytest.approx(total / count, rel=1e-5)


def test_tokens_are_counted_without_padding(make: Make) -> None:
    steps: list[Step] = []
    trainer = make(steps=steps)
    trainer.train()

    assert trainer.counts.tokens == 2 * sum(len(one.input_ids) for one in TRAIN)
    assert trainer.counts.tokens_per_s == pytest.approx(
        trainer.counts.tokens / trainer.counts.seconds, rel=0.5
    )
    assert [one.counts.tokens for one in steps] == sorted(one.counts.tokens for one in steps)


def test_the_loss_goes_down(make: Make) -> None:
    steps: list[Step] = []
    make(steps=steps, epochs=8, learning_rate=1e-2).train()
    curve = list(losses(steps).values())

    assert len(curve) == 24 and sum(curve[-3:]) < 0.8 * sum(curve[:3])


def test_checkpointed_activations_change_no_loss(make: Make) -> None:
    with_it: list[Step] = []
    without: list[Step] = []
    make("a", steps=with_it, checkpointing=True).train()
    make("b", steps=without, checkpointing=False).train()

    assert losses(with_it) == pytest.approx(losses(without), rel=1e-4)


def test_neftune_adds_noise(make: Make) -> None:
    with_it: list[Step] = []
    without: list[Step] = []
    make("a", steps=with_it, neftune=5.0, max_steps=1).train()
    make("b", steps=without, max_steps=1).train()

    assert losses(with_it)[1] != pytest.approx(losses(without)[1], rel=1e-3)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [0.0, 0.006, 0.006, 0.006, 0.006, 0.006]),
        ("linear", [0.0, 0.006, 0.0048, 0.0036, 0.0024, 0.0012]),
        ("cosine", [0.0, 0.006, *(0.003 * (1 + math.cos(math.pi * k / 5)) for k in (1, 2, 3, 4))]),
    ],
)
def test_the_learning_rate_warms_up_and_follows_its_schedule(
    make: Make, schedule: str, rates: list[float]
) -> None:
    steps: list[Step] = []
    make(steps=steps, schedule=schedule, learning_rate=0.006, warmup=0.15, held_out=[]).train()

    assert [one.learning_rate for one in steps] == pytest.approx(rates)


def test_the_held_out_loss_is_measured_each_epoch_or_as_asked_and_at_the_end(make: Make) -> None:
    each_epoch: list[Step] = []
    make("a", steps=each_epoch).train()
    as_asked: list[Step] = []
    make("b", steps=as_asked, evaluate_every=4).train()

    assert list(losses(each_epoch, held_out=True)) == [3, 6]
    assert list(losses(as_asked, held_out=True)) == [4, 6]


def test_measuring_more_often_changes_no_loss(make: Make) -> None:
    often: list[Step] = []
    never: list[Step] = []
    make("a", steps=often, evaluate_every=1).train()
    make("b", steps=never, held_out=[]).train()

    assert losses(often) == losses(never)


def test_nothing_leaves_the_machine(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.delenv("CI", raising=False)
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.delenv(name, raising=False)

    def refuse(*arguments: Any, **_: Any) -> Any:
        asked.append(arguments)
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    trainer = make()
    trainer.train()
    trainer.save_adapter(tmp_path)
    time.sleep(0.2)  # telemetry has a thread of its own

    assert asked == [] and trainer.args.report_to == []


def test_the_adapter_can_be_read_by_whoever_can_read_its_settings(make: Make, tmp_path: Path) -> None:
    make().save_adapter(tmp_path)

    modes = {
        (tmp_path / name).stat().st_mode for name in ("adapter_config.json", "adapter_model.safetensors")
    }
    assert len(modes) == 1


# Going on


@pytest.mark.parametrize("stop_at", [2, 4, 5], ids=["first-epoch", "between-epochs", "second-epoch"])
def test_a_training_that_was_broken_off_goes_on_with_the_same_losses(
    make: Make, tmp_path: Path, stop_at: int
) -> None:
    plan: dict[str, Any] = {"save_every": 1 if stop_at < 4 else 3, "neftune": 5.0, "evaluate_every": 2}
    whole: list[Step] = []
    complete = make("whole", steps=whole, **plan)
    complete.train()
    with pytest.raises(Stopped):
        make("cut", stop_at=stop_at, **plan).train()
    checkpoint = latest_checkpoint(tmp_path / "cut")
    assert checkpoint is not None
    after: list[Step] = []
    resumed = make("cut", steps=after, **plan)
    resumed.train(resume_from_checkpoint=str(checkpoint))

    at = int(checkpoint.name.removeprefix("checkpoint-"))
    assert 0 < at < stop_at
    for held_out in (False, True):
        expected = {step: loss for step, loss in losses(whole, held_out=held_out).items() if step > at}
        assert losses(after, held_out=held_out) == expected
    assert resumed.counts.tokens == complete.counts.tokens
    assert resumed.counts.wall_s > resumed.counts.seconds > 0
    for name, weight in complete.model.named_parameters():
        assert torch.equal(weight, dict(resumed.model.named_parameters())[name])


def test_checkpoints_are_whole_few_and_without_a_pickle(make: Make, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        make(stop_at=6, save_every=1).train()

    assert list(checkpoints(tmp_path / "out")) == [4, 5]
    refuse_pickles(tmp_path)
    assert sorted(path.name for path in checkpoint_folder(tmp_path / "out", 5).iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "counts.json",
        "optimizer.safetensors",
        "random-0.json",
        "state.json",
        "trainer_state.json",
    ]


def test_the_last_step_has_no_checkpoint_for_the_adapter_itself_comes(make: Make, tmp_path: Path) -> None:
    make(save_every=3).train()

    assert list(checkpoints(tmp_path / "out")) == [3]


def test_a_checkpoint_of_another_adapter_is_refused(make: Make, tmp_path: Path) -> None:
    make("a", save_every=3).train()

    with pytest.raises(TrainingError, match="holds another adapter than the config describes"):
        make("b", lora={"rank": 8}).train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))


# Stopping


def test_a_loss_that_is_no_number_stops_at_once_and_keeps_the_checkpoint(make: Make, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"at step \d is (nan|inf)") as caught:
        make(learning_rate=1e20, save_every=1, held_out=[], warmup=0.3).train()

    message = str(caught.value)
    kept = list(checkpoints(tmp_path / "out"))
    assert f"The checkpoint of step {kept[-1]} is kept" in message
    assert "Lower train.learning_rate (now 1e+20)" in message

    for step in kept:
        tensors = load_file(checkpoint_folder(tmp_path / "out", step) / "adapter_model.safetensors")
        assert all(bool(torch.isfinite(one).all()) for one in tensors.values())


def test_a_base_that_answers_no_number_stops_at_the_first_step(make: Make) -> None:
    trainer = make()
    with torch.no_grad():
        trainer.model.get_output_embeddings().weight[0] = float("nan")

    with pytest.raises(TrainingError, match=r"at step 1 is nan: .*There is no checkpoint before it"):
        trainer.train()


def test_an_early_stop_comes_when_patience_ends_and_the_best_is_kept(make: Make, tmp_path: Path) -> None:
    steps: list[Step] = []
    trainer = make(
        steps=steps,
        epochs=40,
        learning_rate=0.02,
        schedule="constant",
        early_stop=2,
        evaluate_every=1,
        save_every=1,
    )
    trainer.train()
    measured = losses(steps, held_out=True)
    best = min(measured, key=lambda step: measured[step])
    last_of_run = max(measured)
    worst = {name: one.clone() for name, one in trainer.model.named_parameters() if one.requires_grad}

    assert trainer.state.global_step == last_of_run == best + 2
    assert trainer.keep_best() == measured[best]
    assert list(checkpoints(tmp_path / "out")) == sorted({best, last_of_run - 1, last_of_run})
    assert trainer.evaluate()["eval_loss"] == pytest.approx(measured[best], rel=1e-6)
    assert any(
        not torch.equal(one, worst[name]) for name, one in trainer.model.named_parameters() if name in worst
    )


def test_without_an_early_stop_the_last_adapter_is_kept(make: Make) -> None:
    steps: list[Step] = []
    # Few and wild steps: after many, the processor's own rounding decides which loss is the best.
    trainer = make(steps=steps, learning_rate=0.5, schedule="constant", max_steps=4, evaluate_every=1)
    trainer.train()
    measured = losses(steps, held_out=True)

    assert trainer.keep_best() == measured[max(measured)] > min(measured.values())


# The adapter


def test_the_adapter_is_one_that_peft_reads_and_names_its_base(
    make: Make, base: Path, tmp_path: Path
) -> None:
    import peft

    trainer = make(lora={"targets": ["q_proj", "v_proj"]})
    trainer.train()
    settings = trainer.save_adapter(tmp_path)
    tokens = torch.tensor([TRAIN[0].input_ids])
    plain = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with warnings.catch_warnings():  # PEFT asks transformers for checkpointing by its old name
        warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)
        read = peft.PeftModel.from_pretrained(plain, str(tmp_path))

    assert json.loads((tmp_path / "adapter_config.json").read_text()) == settings
    assert settings["base_model_name_or_path"] == "the-base" and settings["r"] == 4
    assert settings["target_modules"] == ["q_proj", "v_proj"]

    weights = load_file(tmp_path / "adapter_model.safetensors")
    assert sum(one.numel() for one in weights.values()) == trainer.trainable == 4 * 2 * (128 + 96)
    with torch.no_grad():
        expected = trainer.model.eval()(tokens).logits
        assert torch.allclose(read(tokens).logits, expected, atol=1e-5)


def test_a_shared_beginning_changes_no_loss_and_saves_tokens(make: Make) -> None:
    beginning = tuple(range(40, 60))
    rows = [
        Encoded(beginning + one.input_ids, len(beginning) + one.completion_from, one.line, 0) for one in TRAIN
    ]
    apart: list[Step] = []
    shared: list[Step] = []
    plan: dict[str, Any] = {"batch": 4, "group_by_length": False, "lora": {"dropout": 0.0}}

    make("apart", steps=apart, train=rows, held_out=[], **plan).train()
    make("shared", steps=shared, train=rows, held_out=[], share_prefix=True, **plan).train()

    assert [one.loss for one in shared] == pytest.approx([one.loss for one in apart], rel=1e-3)
    assert shared[-1].counts.tokens < 0.75 * apart[-1].counts.tokens
