"""Chat template -> token ids, and from which of them on there is loss: on the completion and its end token only.

The prompt's tokens are those that `hf:` sends when it asks (`evals.backends.hugging_face`): the template with its
generation prompt, thinking switched off where it can be, tokenised alone. What follows has loss, and is what the model
has to write then:

- what the template puts between its generation prompt and an answer, if anything: a channel's header, for one;
- the end of a thinking that the generation prompt opens and does not close;
- the completion, as the template writes it (some trim it);
- the end-of-turn token, and the tokenizer's own end token where it follows at once. A template that writes none gets
  the tokenizer's. The newline behind is left out: nobody waits for it.

Texts that hold a control token's name, such as `<|im_end|>`: in a prompt it becomes that token, as when the model is
asked; a completion with one is skipped, for it would teach to end there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evals.backends.base import Message
from evals.checks.answers import shorten
from evals.errors import TrainingError, first_line
from training.data import Example

_OPEN, _CLOSE = "<think>", "\n\n</think>\n\n"


@dataclass(frozen=True, slots=True)
class Encoded:
    """An example as it is trained: all tokens from `completion_from` on have loss, the ones before have none.

    `cut` is how many tokens were taken out of the middle of the last user text.
    """

    input_ids: tuple[int, ...]
    completion_from: int
    line: int
    cut: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """An example that is not trained, and why. `tokens` is how many it would need at least."""

    line: int
    reason: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of an example before anything is cut; the completion's with its end token."""

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class _Written:
    """An example as text. `fault` says why it is not trained; '' if it can be."""

    prompt: str
    answer: str
    fault: str


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Token ids, and from which to which character each of them stands."""

    ids: list[int]
    spans: list[tuple[int, int]]

    def inside_character(self, place: int) -> bool:
        """Whether the token at `place` goes on with a character that the one before has begun."""
        return 0 < place < len(self.spans) and self.spans[place][0] < self.spans[place - 1][1]


def open_encoder(folder: Path, max_length: int) -> Encoder:
    """The encoder of the tokenizer in a model's folder; nothing is fetched. Raises `TrainingError`."""
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except (
        Exception
    ) as error:  # tokenizer files are other people's, and break transformers wherever they like
        raise TrainingError(
            f"the tokenizer in {folder} cannot be loaded: {first_line(error)}; fetch or save the base again"
        ) from error
    return Encoder(tokenizer, max_length)


class Encoder:
    """Encodes examples with a tokenizer of transformers, each to at most `max_length` tokens."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        """Raises `TrainingError` for a tokenizer without a chat template, or one that cannot tell where tokens stand."""
        self._tokenizer = tokenizer
        self._max_length = max_length
        if not tokenizer.chat_template:
            raise TrainingError(
                "the base has no chat template, as base models have none, so that nothing tells how it is asked. Take "
                "its instruction-tuned form, or add chat_template.jinja to its folder"
            )
        if not tokenizer.is_fast:
            raise TrainingError(
                "the base's tokenizer cannot tell where its tokens stand in a text, which masks and cuts need; save it "
                "with a tokenizer.json"
            )
        try:
            template = tokenizer.get_chat_template()
        except ValueError as error:  # several, and none of them the default
            raise TrainingError(f"the base's chat template cannot be used: {first_line(error)}") from error
        self._switch = {"enable_thinking": False} if "enable_thinking" in template else {}
        added = tokenizer.added_tokens_decoder
        self._control = {one for one, token in added.items() if token.special} | set(
            tokenizer.all_special_ids
        )
        self._added = self._control | set(added)

    def lengths(self, example: Example) -> Lengths:
        """Raises `TrainingError` where the template refuses the example."""
        written = self._write(example)
        prompt = self._tokenize(written.prompt, example)
        return Lengths(len(prompt.ids), len(self._completion(written, prompt.ids, example)))

    def encode(self, example: Example) -> Encoded | Skipped:
        """At most `max_length` tokens, with the completion whole.

        A prompt that is too long loses tokens in the middle of its last user text, as few as bring it to that length
        and leave no half of a character: of those that stay, the first third stands before the gap. Raises
        `TrainingError` where the template refuses the example, or the prompt without that text leaves no room.
        """
        written = self._write(example)
        prompt = self._tokenize(written.prompt, example)
        completion = self._completion(written, prompt.ids, example)
        count = len(prompt.ids) + len(completion)
        if written.fault:
            return Skipped(example.line, written.fault, count)
        excess = count - self._max_length
        if excess <= 0:
            return Encoded((*prompt.ids, *completion), len(prompt.ids), example.line, 0)
        first, end = self._user_tokens(written.prompt, prompt, example)
        skeleton = len(prompt.ids) - (end - first)
        if skeleton >= self._max_length:
            raise TrainingError(
                f"line {example.line}: its prompt has {skeleton} tokens beside the text of the user, and the limit is "
                f"{self._max_length}: nothing would be left for an answer. Raise max_length, or shorten the system prompt"
            )
        if excess > end - first:
            reason = (
                f"its completion of {len(completion)} tokens and the {skeleton} of its prompt that cannot be cut are "
                f"more than {self._max_length}"
            )
            return Skipped(example.line, reason, skeleton + len(completion))
        head = first + (end - first - excess) // 3
        tail = head + excess
        while head > first and prompt.inside_character(head):
            head -= 1
        while tail < end and prompt.inside_character(tail):
            tail += 1
        kept = (*prompt.ids[:head], *prompt.ids[tail:])
        return Encoded((*kept, *completion), len(kept), example.line, tail - head)

    def _write(self, example: Example) -> _Written:
        *asked, answer = example.messages
        prompt = self._render(asked, example, generation=True)
        whole = self._render(example.messages, example)
        mark = _mark(example)
        marked = self._render([*asked, replace(answer, content=mark)], example)
        head, tail = _around(marked, mark, "answer", example)
        end = self._end(tail, example)
        body = whole[len(head) : len(whole) - len(tail)]
        fault = ""
        if head + body + tail != whole or body.strip() != answer.content.strip():
            body = answer.content
            fault = (
                "the base's chat template writes something else than its completion (thinking in it, for one)"
            )
        else:
            fault = self._unteachable(body, end, example)
        return _Written(prompt, _lead(prompt, head, example) + body + end, fault)

    def _render(self, messages: Sequence[Message], example: Example, *, generation: bool = False) -> str:
        plain = [{"role": one.role, "content": one.content} for one in messages]
        try:
            text = self._tokenizer.apply_chat_template(
                plain, tokenize=False, add_generation_prompt=generation, **self._switch
            )
        except (
            Exception
        ) as error:  # a template is somebody else's program, and fails in whatever way it likes
            raise TrainingError(
                f"line {example.line}: the base's chat template refuses these messages: {shorten(first_line(error))}. "
                "Bring the roles into the order that it takes (some take no system message), or take another base"
            ) from error
        return str(text)

    def _tokenize(self, text: str, example: Example) -> _Tokens:
        try:
            # The template has written the special tokens itself.
            found = self._tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
        except (TypeError, ValueError) as error:
            raise TrainingError(
                f"line {example.line}: the base's tokenizer refuses its text: {shorten(first_line(error))}"
            ) from error
        return _Tokens(found["input_ids"], found["offset_mapping"])

    def _completion(self, written: _Written, prompt: list[int], example: Example) -> list[int]:
        """The answer's tokens as they follow the prompt's; where its beginning would melt into the prompt's last token,
        as they are by themselves, because a model that is asked has only the prompt's."""
        joined = self._tokenize(written.prompt + written.answer, example).ids
        if joined[: len(prompt)] == prompt:
            return joined[len(prompt) :]
        return self._tokenize(written.answer, example).ids

    def _end(self, tail: str, example: Example) -> str:
        """What ends an answer, out of all that the template writes behind it."""
        tokens = self._tokenize(tail, example)
        end = 0
        for token, (start, stop) in zip(tokens.ids, tokens.spans, strict=True):
            if end == 0 and not tail[start:stop].strip():
                continue
            if token not in self._added or (end and token != self._tokenizer.eos_token_id):
                break
            end = stop
        if end:
            return tail[:end]
        if self._tokenizer.eos_token is None:
            raise TrainingError(
                "neither the base's chat template nor its tokenizer has an end token, so that no answer would ever end; "
                "set eos_token in its tokenizer_config.json"
            )
        return str(self._tokenizer.eos_token)

    def _unteachable(self, body: str, end: str, example: Example) -> str:
        """Why a completion with these words cannot be trained; '' if it can."""
        ends = set(self._tokenize(end.strip(), example).ids) & self._added
        unfit = (self._control | ends) & set(self._tokenize(body, example).ids)
        if unfit - {self._tokenizer.unk_token_id}:
            return "its completion holds the text of a control token, which would end or confuse the answer there"
        return "the base's tokenizer has no tokens for some of its completion's characters" if unfit else ""

    def _user_tokens(self, text: str, prompt: _Tokens, example: Example) -> tuple[int, int]:
        """The tokens of the last user text: from which to before which. None of them holds anything of the template."""
        mark = _mark(example)
        *before, user = example.messages[:-1]
        marked = self._render([*before, replace(user, content=mark)], example, generation=True)
        head, tail = _around(marked, mark, "user's text", example)
        if not (text.startswith(head) and text.endswith(tail)):
            return len(prompt.ids), len(prompt.ids)
        start, stop = len(head), len(text) - len(tail)
        places = [k for k, (a, b) in enumerate(prompt.spans) if start <= a < b <= stop]
        if not places:
            return len(prompt.ids), len(prompt.ids)
        first, end = places[0], places[-1] + 1
        while first < end and prompt.inside_character(first):
            first += 1
        while first < end and prompt.inside_character(end):
            end -= 1
        return first, end


def _mark(example: Example) -> str:
    """A text that stands in none of the messages."""
    everything = "\0".join(one.content for one in example.messages)
    return hashlib.sha256(everything.encode("utf-8", "surrogatepass")).hexdigest()


def _around(text: str, mark: str, what: str, example: Example) -> tuple[str, str]:
    before, found, after = text.partition(mark)
    if not found or mark in after:
        raise TrainingError(
            f"line {example.line}: the base's chat template does not write the {what} once and as it stands, so that "
            "nothing tells where it begins and ends; take another base, or mend its chat_template.jinja"
        )
    return before, after


def _lead(prompt: str, head: str, example: Example) -> str:
    """What the model has to write between the generation prompt and its answer; `head` is what stands before an answer
    in a conversation."""
    if not (head.startswith(prompt) or prompt.startswith(head)):
        raise TrainingError(
            f"line {example.line}: the base's chat template asks for an answer with another text than it writes before "
            "one, so that what is trained would not be what is asked; take another base, or mend its chat_template.jinja"
        )
    lead = head[len(prompt) :]
    opened = (prompt + lead).rstrip()
    if opened.endswith(_OPEN):
        lead += _CLOSE.removeprefix((prompt + lead)[len(opened) :])
    return lead
