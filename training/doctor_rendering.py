"""Whether a model's template in Ollama renders what the base's chat template renders, of which it was trained.

Ollama shows what it rendered in two ways. `/api/generate` answers with the tokens of prompt and answer (`context`):
decoded by the base's tokenizer that is the very text, for a system message and one user's. For more turns, `/api/chat`
tells how many tokens the prompt had: held against the number of the base's own rendering, sent past the template
(`raw`) and so counted by the same tokenizer, any difference of the texts shows but one that keeps the number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evals.backends.base import Message
from evals.checks.answers import shorten
from evals.errors import TrainingError, first_line
from training.doctor_asking import Asker

SYSTEM = "Answer in 3 words: no more."
USER = 'Which colour has {"sky": 17}?'
ANSWER = "It is blue."
_MEND = "create it with the template of the base (`ollama show --template BASE`), or with one that renders the same"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was examined. `what` is what was found, `mend` what to do; '' where it is well."""

    name: str
    state: Literal["ok", "warning", "fault"]
    what: str
    mend: str = ""


class Source:
    """A base's tokenizer with its chat template. Raises `TrainingError` where the folder has none."""

    def __init__(self, folder: Path) -> None:
        import transformers

        try:
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (
            Exception
        ) as error:  # tokenizers are other people's files, and break transformers wherever they like
            raise TrainingError(f"{folder} has no tokenizer that can be read: {first_line(error)}") from error
        template = self._tokenizer.chat_template
        if not isinstance(template, str):
            raise TrainingError(
                f"{folder} has no chat template, so there is nothing to hold Ollama's against"
            )
        self.thinks = "enable_thinking" in template

    def render(self, messages: Sequence[Message], *, ask: bool = True) -> str | None:
        """The messages as text, thinking off, without the token that begins every text; None where it refuses them."""
        import jinja2

        try:
            text: str = self._tokenizer.apply_chat_template(
                [{"role": one.role, "content": one.content} for one in messages],
                tokenize=False,
                add_generation_prompt=ask,
                **({"enable_thinking": False} if self.thinks else {}),
            )
        except (jinja2.TemplateError, TypeError, ValueError):
            return None
        return self._without_first(text)

    def _without_first(self, text: str) -> str:
        # A token such as <s>, that llama.cpp writes by itself; but ChatML's opens each turn and belongs to the text.
        first = self._tokenizer.bos_token
        return text.removeprefix(first) if first and text.count(first) == 1 else text

    def decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(
            list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return self._without_first(text)

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def token(self, number: int) -> str:
        """A token's text, '' for one that is not there."""
        return str(self._tokenizer.convert_ids_to_tokens(number) or "")

    def specials(self) -> tuple[str, ...]:
        """The texts of tokens that steer and stand in no answer."""
        return tuple(
            one.content
            for one in self._tokenizer.added_tokens_decoder.values()
            if one.special and one.content
        )

    def turn_end(self) -> str:
        """The text that ends an answer."""
        text = self.render([Message("user", USER), Message("assistant", ANSWER)], ask=False) or ""
        behind = text.rpartition(ANSWER)[2].strip() if ANSWER in text else ""
        for number in self.encode(behind)[:1]:
            return self.token(number)
        return str(self._tokenizer.eos_token or "")


def renderings(asker: Asker, source: Source, own_system: str, think: bool | None) -> Iterator[Finding]:
    """A finding for each list of messages. `own_system` is the model's own system message, `think` what is sent."""
    first = _compared(asker, source, SYSTEM, "", think)
    if first is not None:
        yield first
    # Where the base refuses system messages, one of the model's own makes no list that could be held against it.
    second = _compared(asker, source, "", own_system, think)
    if second is not None:
        yield second
    turns = [
        Message("system", SYSTEM),
        Message("user", USER),
        Message("assistant", ANSWER),
        Message("user", USER),
    ]
    several = source.render(turns)
    if several is None:
        turns = turns[1:]
        several = source.render(turns)
    if several is None:
        return
    there = asker.chat(turns, 1, think).prompt_tokens
    here = asker.raw(several).prompt_tokens
    name = "several turns"
    if there is None or here is None:
        yield Finding(
            name, "warning", "Ollama does not tell how many tokens several turns had", "update Ollama"
        )
    elif there != here:
        yield Finding(
            name,
            "fault",
            f"of several turns Ollama makes {there} tokens, the base's chat template {here}",
            _MEND,
        )
    else:
        yield Finding(name, "ok", f"several turns are {there} tokens, as many as by the base's chat template")


def _compared(
    asker: Asker, source: Source, system: str, own_system: str, think: bool | None
) -> Finding | None:
    said = system or own_system
    messages = [*([Message("system", said)] if said else []), Message("user", USER)]
    expected = source.render(messages)
    if expected is None:
        return None
    name = "system and user" if system else "user alone"
    got = asker.render(system, USER, think)
    if not got.tokens:
        return _counted(asker, name, expected, messages, think)
    rendered = source.decode(got.tokens).removesuffix(got.answer)
    if rendered == expected:
        return _tokens(name, source, expected, got.tokens)
    if expected in ("", USER) or not same_turns(rendered, expected, said, USER):
        return Finding(
            name,
            "fault",
            f"Ollama renders {_shown(rendered, expected)}, the base's chat template {_shown(expected, rendered)}",
            _MEND,
        )
    return Finding(
        name,
        "warning",
        f"what stands before the messages differs: in Ollama {_shown(rendered, expected)}, by the base's chat template "
        f"{_shown(expected, rendered)}",
        "always send a system message that says what is wanted, or create it with a template that writes the same",
    )


def _tokens(name: str, source: Source, expected: str, tokens: Sequence[int]) -> Finding:
    wanted = source.encode(expected)
    # The first token of some vocabularies is written by llama.cpp, the last may have grown together with the answer.
    found = [list(tokens[start : start + len(wanted) - 1]) for start in (0, 1)]
    if wanted[:-1] in found:
        return Finding(name, "ok", "it is rendered as by the base's chat template, and in the same tokens")
    return Finding(
        name,
        "warning",
        "the text is the same, but it is cut into other tokens than it was trained with",
        "create it of GGUF instead of safetensors, or of the base in Ollama with the adapter on it: Ollama's own conversion "
        "does not know every tokenizer",
    )


def _counted(
    asker: Asker, name: str, expected: str, messages: Sequence[Message], think: bool | None
) -> Finding:
    """Where the server tells no tokens: their number."""
    there, here = asker.chat(messages, 1, think).prompt_tokens, asker.raw(expected).prompt_tokens
    if there is not None and there == here:
        return Finding(
            name, "ok", f"it is rendered in {there} tokens, as many as by the base's chat template"
        )
    return Finding(
        name, "fault", f"Ollama renders it in {there} tokens, the base's chat template in {here}", _MEND
    )


def same_turns(rendered: str, expected: str, system: str, user: str) -> bool:
    """Whether all is the same from the system message on; without one, from the line on that opens the user's turn."""
    start = system or user
    if start not in rendered or start not in expected:
        return False
    if rendered[rendered.index(start) :] != expected[expected.index(start) :]:
        return False
    return bool(system) or _opening(rendered, user) == _opening(expected, user)


def _opening(text: str, user: str) -> str:
    """What opens the user's turn: the last line before its text."""
    return text[: text.index(user)].rstrip("\n").rpartition("\n")[2]


def _shown(text: str, other: str) -> str:
    """The place where a text begins to differ from another, a little before and after, quoted."""
    start = next((at for at, (one, two) in enumerate(zip(text, other, strict=False)) if one != two), None)
    if start is None:
        start = min(len(text), len(other))
    begin = max(0, start - 12)
    return quoted(("…" if begin else "") + text[begin : start + 40] + ("…" if start + 40 < len(text) else ""))


def quoted(text: str) -> str:
    """A text in quotes on one line, its newlines as \\n."""
    return f"'{shorten(text)}'"
