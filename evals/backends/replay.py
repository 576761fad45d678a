"""A recorded run that answers again: no model at all, the same replies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from evals.backends.base import ChatRequest, Model, ModelReply, ModelSpec
from evals.errors import BackendFault, ModelUnavailable, RunRecordError
from evals.runs import read_replies, read_run


def resolve(spec: ModelSpec) -> Model | ModelUnavailable:
    """The recorded model, by its digest.

    Its replies are the record's alone: a replay neither reads the store nor writes to it, and shares no reply with
    another model of the run, be it of the same digest.
    """
    folder, _, wanted = spec.name.partition("#")
    try:
        run = read_run(Path(folder))
    except RunRecordError as error:
        return ModelUnavailable(f"{spec.text}: {error}")
    models = {one.label: one for one in run.models}
    if not wanted and len(models) == 1:
        wanted = next(iter(models))
    if wanted not in models:
        said = f"has no model {wanted!r}" if wanted else "holds several models"
        names = ", ".join(f"replay:{folder}#{label}" for label in models)
        return ModelUnavailable(f"{spec.text}: the run {said}; there are: {names}")
    recorded = models[wanted]
    repeats = run.settings.get("repeats", 1)
    details = {**recorded.details, "replay_of": recorded.label, "folder": folder, "repeats": repeats}
    return Model(spec, recorded.digest, thinks=recorded.thinks, details=details)


class ReplayModel:
    """Answers each request by the key it was recorded under."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._recorded: tuple[Model, Mapping[str, ModelReply]] | None = None

    async def aclose(self) -> None:
        self._recorded = None

    async def chat(self, request: ChatRequest) -> ModelReply:
        self._recorded = self._recorded or self._read()
        recorded, replies = self._recorded
        reply = replies.get(recorded.key(request))
        if reply is None:
            raise BackendFault(
                f"the recorded run has no answer to {request.task}/{request.case}: "
                "it was not asked there, or its prompt or options changed since; select what was asked there"
            )
        return reply

    def _read(self) -> tuple[Model, Mapping[str, ModelReply]]:
        """The model as it was recorded, and its replies."""
        folder, label = (str(self._model.details[name]) for name in ("folder", "replay_of"))
        try:
            models = {one.label: one for one in read_run(Path(folder)).models}
            if label not in models:
                raise BackendFault(f"the run in {folder} holds no model {label!r} any more")
            return models[label], read_replies(Path(folder), label)
        except (RunRecordError, json.JSONDecodeError) as error:
            raise BackendFault(str(error)) from error
