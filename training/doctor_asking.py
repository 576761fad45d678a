"""The few short requests by which the doctor examines a model: greedy, one at a time, each answer bounded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import ollama

from evals.backends.base import Message
from evals.backends.http_faults import LOOPBACK
from evals.backends.ollama import NOT_OLLAMA, fault_of
from evals.checks.answers import shorten
from evals.errors import RegistryError

Answer = TypeVar("Answer", ollama.ChatResponse, ollama.GenerateResponse)

# Loading a model may come first.
SILENCE_S = 600.0
# Greedy, and without the penalty that Ollama applies by itself.
_OPTIONS = {"temperature": 0.0, "seed": 0, "repeat_penalty": 1.0}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"colour": {"type": "string", "maxLength": 12}},
    "required": ["colour"],
}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of `/api/chat`. `ended` is whether it came to its end by itself."""

    text: str
    thinking: str
    ended: bool
    prompt_tokens: int | None


@dataclass(frozen=True, slots=True)
class Rendered:
    """What `/api/generate` made of a message. `tokens` are those of prompt and answer, () where the server tells none."""

    tokens: tuple[int, ...]
    answer: str
    prompt_tokens: int | None


class Asker:
    """One model of one server. Every call raises `RegistryError` where no answer comes."""

    def __init__(self, url: str, model: str) -> None:
        self._url = url
        self._model = model
        self._client = ollama.Client(
            host=url,
            timeout=httpx.Timeout(SILENCE_S, connect=10.0),
            trust_env=urlsplit(url).hostname not in LOOPBACK,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def chat(
        self, messages: Sequence[Message], limit: int, think: bool | None, *, schema: bool = False
    ) -> Reply:
        """The reply to messages, of `limit` tokens at most; with `schema` its form is constrained."""
        got = self._ask(
            lambda: self._client.chat(
                self._model,
                [{"role": one.role, "content": one.content} for one in messages],
                think=think,
                format=dict(SCHEMA) if schema else None,
                options={**_OPTIONS, "num_predict": limit},
            )
        )
        said = got.message
        return Reply(
            said.content or "", said.thinking or "", got.done_reason == "stop", got.prompt_eval_count
        )

    def render(self, system: str, user: str, think: bool | None) -> Rendered:
        """What the model's template makes of a system message ('' for none) and a user's, and one token more."""
        return self._rendered(
            self._ask(
                lambda: self._client.generate(
                    self._model,
                    user,
                    system=system,
                    think=think,
                    options={**_OPTIONS, "num_predict": 1},
                )
            )
        )

    def raw(self, prompt: str) -> Rendered:
        """The same of a prompt that is sent as it is, past the template."""
        return self._rendered(
            self._ask(
                lambda: self._client.generate(
                    self._model, prompt, raw=True, options={**_OPTIONS, "num_predict": 1}
                )
            )
        )

    def _rendered(self, got: ollama.GenerateResponse) -> Rendered:
        return Rendered(tuple(got.context or ()), got.response or "", got.prompt_eval_count)

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        try:
            return question()
        except httpx.TimeoutException as error:
            raise RegistryError(
                f"Ollama at {self._url} did not answer within {SILENCE_S:g} s; look at its log, then try again"
            ) from error
        except (ConnectionError, *NOT_OLLAMA) as error:
            raise RegistryError(
                f"Ollama at {self._url} did not let {shorten(self._model)} answer: {fault_of(error, self._model)}"
            ) from error


def fits_schema(text: str) -> bool:
    """Whether an answer has the form that `schema=True` asks for."""
    try:
        data = json.loads(text)
    except ValueError:
        return False
    return isinstance(data, dict) and isinstance(data.get("colour"), str)
