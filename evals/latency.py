"""How fast a model answers: from timed replies to p50 and p95, and the requests that are timed. Pure.

A percentile is over the requests in order from the fastest to the slowest, for times and for rates alike: 95% of
the requests were at least as good as the p95. Between two requests it is interpolated linearly (`inclusive` of
`statistics.quantiles`, type 7 of Hyndman and Fan), so with few requests the p95 lies close to the worst; n tells.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from evals.backends.base import ChatRequest, Model, ModelReply
from evals.resources import Used

Kind = Literal["cold", "warm"]
TIMES = ("load_s", "first_token_s", "total_s")
RATES = ("prefill_tokens_per_s", "decode_tokens_per_s")
TWENTIETHS = 20


@dataclass(frozen=True, slots=True)
class Figure:
    """One part of the replies of n requests: its median, and what 95% of them at least reach."""

    p50: float
    p95: float
    n: int


@dataclass(frozen=True, slots=True)
class Latency:
    """One model, cold or warm. A part that no reply told is None; tokens are medians a request.

    `first_token_s` and `total_s` count from the request, so they hold the loading of a cold model. `asked_again` is
    the number of requests that brought a reply only after a transient fault; the reply's own time is what counts.
    """

    model: str
    digest: str
    backend: str
    kind: Kind
    requests: int
    parts: Mapping[str, Figure | None]
    prompt_tokens: float | None
    completion_tokens: float | None
    asked_again: int
    used: Used
    energy_j_per_1000_tokens: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Latency:
        """Raises KeyError, TypeError or ValueError where the data is another."""
        if data["kind"] not in get_args(Kind):
            raise ValueError(f"the kind is {data['kind']!r}")
        parts = {name: data["parts"][name] for name in (*TIMES, *RATES)}
        made = {name: None if part is None else Figure(**part) for name, part in parts.items()}
        return cls(**{**data, "parts": made, "used": Used(**data["used"])})


def figure(values: Iterable[float | None], *, fast_is_high: bool = False) -> Figure | None:
    """The percentiles of the values that were told; None if there are none."""
    told = [value for value in values if value is not None]
    if not told:
        return None
    if len(told) == 1:
        return Figure(told[0], told[0], 1)
    cuts = statistics.quantiles(told, n=TWENTIETHS, method="inclusive")
    return Figure(statistics.median(told), cuts[0] if fast_is_high else cuts[-1], len(told))


def prefill_tokens_per_s(reply: ModelReply) -> float | None:
    """Prompt tokens a second until the first answer token is computed, where both are told.

    Tokens that a server still has in its cache count as read and cost no time. A nonce at the start of the prompt
    leaves only those of the chat template before it: three or so of a hundred.
    """
    if not reply.prompt_tokens or not reply.prompt_s:
        return None
    return reply.prompt_tokens / reply.prompt_s


def parts_of(replies: Sequence[ModelReply]) -> dict[str, Figure | None]:
    """Each part's percentiles over the replies."""
    times = {name: figure(getattr(reply, name) for reply in replies) for name in TIMES}
    rates = {
        "prefill_tokens_per_s": figure(map(prefill_tokens_per_s, replies), fast_is_high=True),
        "decode_tokens_per_s": figure((reply.tokens_per_s for reply in replies), fast_is_high=True),
    }
    return times | rates


def median_tokens(counts: Iterable[int | None]) -> float | None:
    """The median of the counts that were told; None if there are none."""
    told = [count for count in counts if count is not None]
    return statistics.median(told) if told else None


def latency_of(model: Model, kind: Kind, replies: Sequence[ModelReply], used: Used) -> Latency:
    """What the timed replies of one model say together, and what they took; energy is told by 1,000 answer tokens."""
    completion = sum(reply.completion_tokens or 0 for reply in replies)
    return Latency(
        model=model.label,
        digest=model.digest,
        backend=model.spec.backend,
        kind=kind,
        requests=len(replies),
        parts=parts_of(replies),
        prompt_tokens=median_tokens(reply.prompt_tokens for reply in replies),
        completion_tokens=median_tokens(reply.completion_tokens for reply in replies),
        asked_again=sum(bool(reply.retries) for reply in replies),
        used=used,
        energy_j_per_1000_tokens=used.energy_j / completion * 1000 if used.energy_j and completion else None,
    )


def with_nonce(request: ChatRequest, nonce: str) -> ChatRequest:
    """The same request with other first words, at the very start of its first message.

    Caches of prompts match from the first token on: a nonce at the end would leave the whole prompt before it in
    the cache, and what was measured would be a look-up.
    """
    first, *rest = request.messages
    return replace(request, messages=(replace(first, content=f"{nonce} {first.content}"), *rest))


def with_one_context(requests: Sequence[ChatRequest]) -> tuple[ChatRequest, ...]:
    """The requests with the largest of their context lengths: a server loads its model anew to change it."""
    largest = max((request.options["num_ctx"] for request in requests), default=0)
    return tuple(replace(one, options={**one.options, "num_ctx": largest}) for one in requests)
