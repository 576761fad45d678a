"""Which Ollama servers have a model: one look at each, and the same weights everywhere."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio
import httpx
import ollama

from evals.backends.base import Model, ModelSpec
from evals.backends.ollama import NOT_OLLAMA, client, server_url
from evals.errors import ModelUnavailable, first_line
from evals.turns import one_name

LOOK_TIMEOUT_S = 30.0


async def resolve(
    specs: Sequence[ModelSpec], hosts: Sequence[str]
) -> tuple[list[Model | ModelUnavailable], list[str]]:
    """Each model with its digest and capabilities, or why it cannot be asked; and a note on each server left out.

    A model is asked on every server that has it with the digest of the first one that has it; `details["servers"]`
    are their addresses. `hosts` are none for the default server; one that has two names among them is asked under the
    first. Raises `SettingsError` for one that is no address, although no model is to be asked there.
    """
    named: dict[str, str] = {}
    for url in map(server_url, hosts or (None,)):
        named.setdefault(one_name(url), url)
    urls = list(named.values()) if specs else []
    at: dict[str, list[Model | ModelUnavailable]] = {}

    async def look(url: str) -> None:
        at[url] = await _look(specs, url)

    async with anyio.create_task_group() as group:
        for url in urls:
            group.start_soon(look, url)
    found: list[Model | ModelUnavailable] = []
    notes: list[str] = []
    for number, spec in enumerate(specs):
        model, left_out = _share(spec, {url: at[url][number] for url in urls})
        found.append(model)
        notes += left_out
    return found, list(dict.fromkeys(notes))


def _share(
    spec: ModelSpec, at: Mapping[str, Model | ModelUnavailable]
) -> tuple[Model | ModelUnavailable, list[str]]:
    """One model from what each server has of it, and why some servers are left out."""
    models = {url: one for url, one in at.items() if isinstance(one, Model)}
    if not models:
        reasons = [str(one) for one in at.values()]
        if len(reasons) == 1:
            return ModelUnavailable(reasons[0]), []
        head = f"{spec.text} is on none of the {len(reasons)} servers:"
        return ModelUnavailable("\n  ".join([head, *reasons])), []
    first = next(iter(models.values()))
    same = [url for url, one in models.items() if one.digest == first.digest]
    notes = []
    for url, one in at.items():
        if isinstance(one, ModelUnavailable):
            notes.append(f"{url} is left out: {one}")
        elif one.digest != first.digest:
            notes.append(
                f"{url} is left out: its {spec.text} is another model, digest {one.digest[:12]} instead of "
                f"{first.digest[:12]} on {same[0]}"
            )
    return replace(first, details={**first.details, "servers": same}), notes


async def _look(specs: Sequence[ModelSpec], url: str) -> list[Model | ModelUnavailable]:
    server = client(url, LOOK_TIMEOUT_S)
    try:
        try:
            listed = (await server.list()).models
        except (ConnectionError, httpx.TimeoutException) as error:
            return [ModelUnavailable(_not_running(url, error, spec)) for spec in specs]
        except NOT_OLLAMA as error:
            reason = (
                f"{url} answers, but not as Ollama does ({first_line(error)}); is it another service's port?"
            )
            return [ModelUnavailable(f"{spec.text}: {reason}") for spec in specs]
        there = {entry.model: entry for entry in listed if entry.model}
        found: list[Model | ModelUnavailable] = []
        for spec in specs:
            name = spec.name if spec.name in there else f"{spec.name}:latest"
            if name not in there:
                found.append(ModelUnavailable(_not_there(spec, url, sorted(there))))
                continue
            found.append(await _describe(server, url, spec, there[name]))
        return found
    finally:
        await server.close()  # type: ignore[no-untyped-call]


async def _describe(
    server: ollama.AsyncClient, url: str, spec: ModelSpec, entry: Any
) -> Model | ModelUnavailable:
    try:
        shown = await server.show(entry.model)
    except (ConnectionError, *NOT_OLLAMA) as error:
        return ModelUnavailable(f"{spec.text}: {url} lists it but cannot show it: {first_line(error)}")
    if not entry.digest:
        return ModelUnavailable(f"{spec.text}: {url} tells no digest for it; update Ollama")
    capabilities = [str(one) for one in shown.capabilities or []]
    if capabilities and "completion" not in capabilities:
        return ModelUnavailable(f"{spec.text} does not chat; it can: {', '.join(capabilities)}")
    information: Mapping[str, Any] = shown.modelinfo or {}
    details = {
        "server": url,
        "size_bytes": entry.size,
        "capabilities": capabilities,
        "context_length": next((v for k, v in information.items() if k.endswith(".context_length")), None),
        **(entry.details.model_dump(exclude_none=True) if entry.details else {}),
    }
    return Model(spec, entry.digest, thinks="thinking" in capabilities, details=details)


def _not_running(url: str, error: Exception, spec: ModelSpec) -> str:
    reason = "it does not answer in time" if isinstance(error, httpx.TimeoutException) else "nothing answers"
    return (
        f"{spec.text}: no Ollama server at {url} ({reason}). Start it with `ollama serve` (or the Ollama app), "
        f"or name its address with --ollama-host or OLLAMA_HOST"
    )


def _not_there(spec: ModelSpec, url: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(spec.name, names, n=3, cutoff=0.4)
    if close:
        hint = f"closest there: {', '.join(close)}"
    else:
        hint = f"there are: {', '.join(names[:8])}" if names else "it has no models yet"
    return f"{spec.text} is not in Ollama at {url}; {hint}. To fetch it: ollama pull {spec.name}"
