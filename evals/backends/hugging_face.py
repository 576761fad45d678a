"""transformers inside the process: a folder of safetensors and, if wanted, a PEFT adapter, on CUDA or the CPU.

Weights are as in the config on CUDA (bfloat16, mostly) and float32 on the CPU. Code that a folder brings never runs.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from evals.backends.base import ChatRequest, Model
from evals.backends.batches import BatchedModel, Engine, OutOfMemory, Prompt, Row, Sampling
from evals.errors import BackendFault, first_line

if TYPE_CHECKING:
    import torch

_OPEN, _CLOSE = "<think>", "</think>"
# What PyTorch says of memory that the machine, not a GPU, does not have.
_NO_MEMORY = ("can't allocate memory", "not enough memory")


def open_hugging_face(model: Model, timeout_s: float) -> BatchedModel:
    """The model of `hugging_face_folder.resolve`; its weights are loaded at the first request, freed by `aclose`."""
    return BatchedModel(partial(_load, model), timeout_s)


def _load(model: Model) -> Engine:
    try:
        return TransformersEngine(model)
    except BackendFault:
        raise
    except Exception as error:  # configs are other people's files, and break transformers wherever they like
        raise BackendFault(f"transformers cannot load {model.spec.name}: {first_line(error)}") from error


class TransformersEngine:
    """Loaded weights and their tokenizer. Raises `BackendFault` for an adapter or weights that do not fit."""

    def __init__(self, model: Model) -> None:
        import torch
        import transformers

        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        folder, adapter = model.details["folder"], model.details["adapter"]
        told = {"local_files_only": True, "trust_remote_code": False}
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model.details["tokenizer"], **told)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = "auto" if self._device == "cuda" else torch.float32
        auto: Any = transformers.AutoModelForCausalLM
        loaded, report = auto.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **told
        )
        if report["missing_keys"]:
            names = ", ".join(sorted(report["missing_keys"])[:3])
            raise BackendFault(
                f"{folder} lacks {len(report['missing_keys'])} weights of its architecture ({names}…); without them it "
                "would answer at random. Fetch or save it again"
            )
        if adapter:
            loaded = _with_adapter(loaded, model)
        self._model: Any = loaded.to(self._device).eval()
        self._context: int | None = model.details["context_length"]
        self._rows_of_vocabulary = int(self._model.get_input_embeddings().weight.shape[0])
        own = self._model.generation_config
        ends = own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]
        self._ends = sorted({one for one in (*ends, self._tokenizer.eos_token_id) if one is not None})
        pads = (self._tokenizer.pad_token_id, own.pad_token_id, *self._ends, 0)
        self._pad = next(one for one in pads if one is not None)
        self._own_sampling = (own.top_p, own.top_k, own.repetition_penalty)
        # Tokens are drawn by `_Draw`, which knows each row's seed; transformers takes the likeliest of what is left.
        own.do_sample, own.temperature, own.top_p, own.top_k = False, None, None, None
        own.max_length, own.eos_token_id, own.pad_token_id = None, self._ends or None, self._pad

    def close(self) -> None:
        self._model = None
        _free()

    def encode(self, request: ChatRequest) -> Prompt:
        import jinja2

        options = request.options
        if options["format"]:
            raise BackendFault(
                "transformers cannot constrain an answer to a format; take options.format out of task.yaml, or ask the "
                "model through Ollama, gguf: or openai:"
            )
        switch = {} if request.think is None else {"enable_thinking": request.think}
        messages = [{"role": one.role, "content": one.content} for one in request.messages]
        try:
            text = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, **switch
            )
            # The template has written the special tokens itself.
            tokens = tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        except (jinja2.TemplateError, TypeError, ValueError, OverflowError) as error:
            raise BackendFault(f"the chat template refuses these messages: {first_line(error)}") from error
        if max(tokens, default=0) >= self._rows_of_vocabulary:
            raise BackendFault(
                f"the tokenizer has tokens beyond the {self._rows_of_vocabulary} that the weights know; the two do not "
                "belong together"
            )
        return Prompt(
            tokens,
            min(options["max_tokens"], self._room(len(tokens), options["num_ctx"])),
            tuple(options["stop"]),
            options["seed"],
            Sampling.of(options),
            # A template that opens the thinking by itself leaves no choice, so there it is split off unasked.
            thinking=bool(request.think) or (request.think is None and text.rstrip().endswith(_OPEN)),
        )

    def _room(self, prompt: int, num_ctx: int) -> int:
        """How many tokens an answer can have; as in llama.cpp, it is cut where the context ends."""
        context = min(num_ctx, self._context or num_ctx)
        if prompt < context:
            return context - prompt
        mend = (
            "raise options.num_ctx in task.yaml"
            if context == num_ctx
            else "the model has positions for no more"
        )
        raise BackendFault(f"the prompt has {prompt} tokens and the context {context}; {mend}")

    def generate(self, prompts: Sequence[Prompt], limit_s: float) -> list[Row]:
        try:
            return self._generate(prompts, limit_s)
        except RuntimeError as error:
            if not _is_memory(error):
                raise BackendFault(f"transformers broke off: {first_line(error)}") from error
            said = first_line(error)
        # Only here, where the error no longer holds on to what the batch had taken.
        _free()
        raise OutOfMemory(said)

    def _generate(self, prompts: Sequence[Prompt], limit_s: float) -> list[Row]:
        import torch

        width = max(len(prompt.tokens) for prompt in prompts)
        padded = [[self._pad] * (width - len(one.tokens)) + list(one.tokens) for one in prompts]
        mask = [[0] * (width - len(one.tokens)) + [1] * len(one.tokens) for one in prompts]
        ends = _Ends(prompts, width, self._ends, self._tokenizer, time.perf_counter() + limit_s)
        sampling = prompts[0].sampling
        top_p, top_k, penalty = self._own_sampling
        drawn = []
        if sampling.temperature:
            seeds = [prompt.seed for prompt in prompts]
            drawn = [_Draw(seeds, sampling, sampling.top_p or top_p, sampling.top_k or top_k, self._device)]
        with torch.inference_mode():
            tokens = self._model.generate(
                input_ids=torch.tensor(padded, device=self._device),
                attention_mask=torch.tensor(mask, device=self._device),
                max_new_tokens=max(prompt.max_tokens for prompt in prompts),
                repetition_penalty=sampling.repeat_penalty or penalty,
                logits_processor=drawn,
                stopping_criteria=[ends],
            )
        return [self._row(one, tokens[row, width:].tolist(), ends, row) for row, one in enumerate(prompts)]

    def _row(self, prompt: Prompt, tokens: list[int], ends: _Ends, row: int) -> Row:
        count = ends.counts[row]
        kept = tokens[:count]
        if kept and kept[-1] in self._ends:
            kept.pop()
        text = self._tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        text = text[: min((found for one in prompt.stop if (found := text.find(one)) >= 0), default=None)]
        thinking = ""
        if prompt.thinking:
            thinking, text = split_thinking(text, self._opened(prompt))
        reason = ends.reasons[row]
        return Row(text, thinking, reason, count, ends.first_at, ends.end_at[row], late=reason == "late")

    def _opened(self, prompt: Prompt) -> bool:
        tail: str = self._tokenizer.decode(prompt.tokens[-8:], skip_special_tokens=False)
        return tail.rstrip().endswith(_OPEN)


def split_thinking(text: str, opened: bool) -> tuple[str, str]:
    """The thinking at an answer's start, and the rest. `opened` says that the prompt has opened it already.

    Thinking that does not end is all thinking; an answer that does not begin with it has none.
    """
    if not opened:
        if not text.lstrip().startswith(_OPEN):
            return "", text
        text = text.lstrip().removeprefix(_OPEN)
    thinking, _, answer = text.partition(_CLOSE)
    return thinking.strip("\n"), answer.lstrip("\n")


def _with_adapter(loaded: Any, model: Model) -> Any:
    import peft
    from safetensors import safe_open

    folder = model.details["adapter"]
    unfit = (
        f"the adapter {folder} does not fit {model.details['folder']} "
        f"(it was trained on {model.details['adapter_base']})"
    )
    try:
        adapted = peft.PeftModel.from_pretrained(loaded, folder, is_trainable=False, local_files_only=True)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        raise BackendFault(f"{unfit}: {first_line(error)}") from error
    with safe_open(f"{folder}/adapter_model.safetensors", "pt") as file:
        brought = set(file.keys())
    # PEFT only warns of these, and goes on with an adapter of which a part is missing.
    wanted = set(peft.get_peft_model_state_dict(adapted, save_embedding_layers=False))
    odd = sorted(one for one in wanted ^ brought if "lora_" in one)
    if odd:
        raise BackendFault(f"{unfit}: {len(odd)} of its tensors have no counterpart, {odd[0]} for one")
    return adapted


class _Ends:
    """Watches the rows of a batch while it is generated: which are done, why, and when."""

    def __init__(
        self, prompts: Sequence[Prompt], width: int, ends: Sequence[int], tokenizer: Any, deadline: float
    ) -> None:
        self.first_at = 0.0
        self.reasons = [""] * len(prompts)
        self.counts = [0] * len(prompts)
        self.end_at = [0.0] * len(prompts)
        self._prompts = prompts
        self._width = width
        self._ends = set(ends)
        self._tokenizer = tokenizer
        self._deadline = deadline

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        import torch

        newest = input_ids[:, -1].tolist()
        now = time.perf_counter()
        self.first_at = self.first_at or now
        count = input_ids.shape[1] - self._width
        for row, prompt in enumerate(self._prompts):
            if self.reasons[row]:
                continue
            reason = ""
            if newest[row] in self._ends or self._stopped(prompt, input_ids[row, self._width :]):
                reason = "stop"
            elif count >= prompt.max_tokens:
                reason = "length"
            elif now > self._deadline:
                reason = "late"
            if reason:
                self.reasons[row], self.counts[row], self.end_at[row] = reason, count, now
        return torch.tensor([bool(reason) for reason in self.reasons], device=input_ids.device)

    def _stopped(self, prompt: Prompt, tokens: torch.Tensor) -> bool:
        if not prompt.stop:
            return False
        # A token holds a byte at least, so a stop text that has just ended lies within so many of them.
        longest = max(len(one.encode("utf-8", "replace")) for one in prompt.stop) + 8
        tail = self._tokenizer.decode(tokens[-longest:].tolist(), skip_special_tokens=False)
        return any(one in tail for one in prompt.stop)


class _Draw:
    """Draws each row's token with a generator of its own, so that its neighbours in the batch change nothing.

    Noise of the Gumbel distribution is added to the logits: the largest sum is then a draw from their softmax
    (Gumbel 1954; Maddison, Tarlow and Minka 2014).
    """

    def __init__(
        self, seeds: Sequence[int], sampling: Sampling, top_p: float | None, top_k: int | None, device: str
    ) -> None:
        import torch
        from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._cuts: list[Callable[[Any, Any], Any]] = [TemperatureLogitsWarper(float(sampling.temperature))]
        if top_k:
            self._cuts.append(TopKLogitsWarper(top_k))
        if top_p and top_p < 1:
            self._cuts.append(TopPLogitsWarper(float(top_p)))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        for cut in self._cuts:
            scores = cut(input_ids, scores)
        noise = [torch.empty_like(scores[0]).exponential_(generator=one) for one in self._generators]
        return scores - torch.stack(noise).log()


def _is_memory(error: RuntimeError) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError) or any(one in str(error) for one in _NO_MEMORY)


def _free() -> None:
    gc.collect()
    torch = sys.modules["torch"]
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
