"""Which backend answers a spec: models are resolved, then opened. Each backend is imported only where it is used."""

from __future__ import annotations

from collections.abc import Sequence

import anyio.to_thread

from evals.backends.base import AskSettings, ChatModel, ChatRequest, Model, ModelSpec
from evals.errors import ModelUnavailable
from evals.turns import THIS_MACHINE

DEFAULT_CONCURRENCY = 4


def in_flight(model: Model, settings: AskSettings) -> int:
    """How many requests at once: what was asked for, else the slots that the backend tells, else 4.

    The embedded backend never gets more than its slots: the rest would only wait in its queue.
    """
    wanted = settings.concurrency or model.slots or DEFAULT_CONCURRENCY
    return min(wanted, model.slots) if model.spec.backend == "gguf" and model.slots else wanted


def computed_here(model: Model) -> bool:
    """Whether this process computes the replies itself, with its own memory."""
    return model.spec.backend not in ("ollama", "openai", "replay")


def places(model: Model, settings: AskSettings) -> tuple[str, ...]:
    """Where a model is asked: addresses of servers, or this machine; one without a name for a recorded run."""
    if computed_here(model):
        return (THIS_MACHINE,)
    if model.spec.backend == "replay":
        return ("",)
    found = model.details.get("servers") or [model.details.get("server")]
    if model.spec.backend == "ollama" and not found[0]:
        from evals.backends.ollama import server_url

        found = [server_url(host) for host in settings.hosts or (None,)]
    return tuple(str(place) for place in found)


def open_model(model: Model, requests: Sequence[ChatRequest], settings: AskSettings, place: str) -> ChatModel:
    """The backend of a resolved model at one of its `places`; imports of that backend happen here."""
    if model.spec.backend == "ollama":
        from evals.backends.ollama import OllamaModel

        return OllamaModel(model, place, settings.reply_timeout_s, in_flight(model, settings))
    if model.spec.backend == "gguf":
        from evals.backends.embedded import EmbeddedModel

        num_ctx = max((int(request.options["num_ctx"]) for request in requests), default=4096)
        return EmbeddedModel(model, num_ctx, in_flight(model, settings), settings.reply_timeout_s)
    if model.spec.backend == "hf":
        from evals.backends.hugging_face import open_hugging_face

        return open_hugging_face(model, settings.reply_timeout_s)
    if model.spec.backend == "openai":
        from evals.backends.openai_server import OpenAIModel

        return OpenAIModel(model, settings.reply_timeout_s, in_flight(model, settings))
    from evals.backends.replay import ReplayModel

    return ReplayModel(model)


async def resolve_models(
    specs: Sequence[ModelSpec], hosts: Sequence[str]
) -> tuple[list[Model | ModelUnavailable], list[str]]:
    """Each spec's model, or why there is none, in the order given; and what the user should know of the servers.

    `hosts` are Ollama servers, none for the default one; raises `SettingsError` for one that is no address.
    """
    found: dict[ModelSpec, Model | ModelUnavailable] = {}
    notes: list[str] = []
    remote = [spec for spec in specs if spec.backend == "ollama"]
    if remote or hosts:
        from evals.backends import ollama_hosts

        answers, notes = await ollama_hosts.resolve(remote, hosts)
        found.update(zip(remote, answers, strict=True))
    for spec in specs:
        if spec.backend == "gguf":
            from evals.backends import embedded

            found[spec] = await anyio.to_thread.run_sync(embedded.resolve, spec)
        elif spec.backend == "hf":
            from evals.backends import hugging_face_folder

            found[spec] = await anyio.to_thread.run_sync(hugging_face_folder.resolve, spec)
        elif spec.backend == "openai":
            from evals.backends import openai_server

            found[spec] = await openai_server.resolve(spec)
        elif spec.backend == "replay":
            from evals.backends import replay

            found[spec] = replay.resolve(spec)
    return [found[spec] for spec in specs], notes
