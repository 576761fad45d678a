"""Which backend answers a spec: models are resolved, then opened. Each backend is imported only where it is used."""

from __future__ import annotations

from collections.abc import Sequence

import anyio.to_thread

from evals.backends.base import AskSettings, ChatModel, ChatRequest, Model, ModelSpec
from evals.errors import ModelUnavailable

DEFAULT_CONCURRENCY = 4


def in_flight(model: Model, settings: AskSettings) -> int:
    """How many requests at once: what was asked for, else the slots that the backend tells, else 4.

    The embedded backend never gets more than its slots: the rest would only wait in its queue.
    """
    wanted = settings.concurrency or model.slots or DEFAULT_CONCURRENCY
    return min(wanted, model.slots) if model.spec.backend == "gguf" and model.slots else wanted


def open_model(model: Model, requests: Sequence[ChatRequest], settings: AskSettings) -> ChatModel:
    """The backend of a resolved model; imports of that backend happen here."""
    if model.spec.backend == "ollama":
        from evals.backends.ollama import OllamaModel

        return OllamaModel(
            model,
            settings.hosts[0] if settings.hosts else None,
            settings.reply_timeout_s,
            in_flight(model, settings),
        )
    if model.spec.backend == "gguf":
        from evals.backends.embedded import EmbeddedModel

        num_ctx = max((int(request.options["num_ctx"]) for request in requests), default=4096)
        return EmbeddedModel(model, num_ctx, in_flight(model, settings), settings.reply_timeout_s)
    from evals.backends.replay import ReplayModel

    return ReplayModel(model)


async def resolve_models(specs: Sequence[ModelSpec], host: str | None) -> list[Model | ModelUnavailable]:
    """Each spec's model, or why there is none, in the order given."""
    found: dict[ModelSpec, Model | ModelUnavailable] = {}
    remote = [spec for spec in specs if spec.backend == "ollama"]
    if remote:
        from evals.backends import ollama

        found.update(zip(remote, await ollama.resolve(remote, host), strict=True))
    for spec in specs:
        if spec.backend == "gguf":
            from evals.backends import embedded

            found[spec] = await anyio.to_thread.run_sync(embedded.resolve, spec)
        elif spec.backend == "replay":
            from evals.backends import replay

            found[spec] = replay.resolve(spec)
    return [found[spec] for spec in specs]
