"""llama.cpp inside the process, through `xllamacpp`: a GGUF file and, if wanted, a LoRA adapter in GGUF.

llama.cpp writes its log to the process's standard error; the process that asks models (`generate.py`)
sends that into the run's folder, so that it never reaches the terminal.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from evals.backends.base import ChatRequest, Model, ModelReply, ModelSpec
from evals.backends.weights import EMBEDDED_NAME, gguf_file, sha256_of
from evals.errors import BackendFault, ModelUnavailable, late

# Slots share the processor: see benchmarks/NOTES.md for what more of them bring.
SLOTS = 4


def split_adapter(name: str) -> tuple[str, str | None]:
    """`BASE+ADAPTER.gguf` -> base and adapter; a `+` inside an existing path is no separator."""
    if "+" not in name or Path(name).exists():
        return name, None
    base, _, adapter = name.rpartition("+")
    return base, adapter


def resolve(spec: ModelSpec) -> Model | ModelUnavailable:
    """Find (or fetch) the files; the digest is over their bytes, the adapter's after the base's."""
    base, adapter = split_adapter(spec.name)
    try:
        files = [gguf_file(base)] + ([gguf_file(adapter)] if adapter else [])
        digest = "+".join(sha256_of(file) for file in files)
    except (ModelUnavailable, OSError) as error:
        return ModelUnavailable(f"{spec.text}: {error}")
    details = {"files": [str(file) for file in files], "size_bytes": sum(f.stat().st_size for f in files)}
    if base == EMBEDDED_NAME:
        details["licence"] = "Apache-2.0"
    # The thinking switch goes to the template, which ignores it where it has none.
    return Model(spec, digest, thinks=True, slots=SLOTS, details=details)


class EmbeddedModel:
    """One loaded GGUF file. Loaded at the first request, freed by `aclose`.

    A reply that takes more than `timeout_s` seconds is given up; llama.cpp cannot be told, so its slot stays
    taken until it is done.
    """

    def __init__(self, model: Model, num_ctx: int, slots: int, timeout_s: float) -> None:
        self._files = [str(file) for file in model.details["files"]]
        self._num_ctx = num_ctx
        self._slots = slots
        self._timeout_s = timeout_s
        self._server: Any = None
        self._loading = threading.Lock()

    async def aclose(self) -> None:
        self._server = None

    async def chat(self, request: ChatRequest) -> ModelReply:
        try:
            with anyio.fail_after(self._timeout_s):
                return await anyio.to_thread.run_sync(self._chat, request, abandon_on_cancel=True)
        except TimeoutError as error:
            raise late(self._timeout_s) from error

    def _load(self) -> tuple[Any, float]:
        with self._loading:
            if self._server is not None:
                return self._server, 0.0
            import xllamacpp

            started = time.perf_counter()
            params = xllamacpp.CommonParams()
            params.model.path = self._files[0]
            params.n_ctx = self._num_ctx * self._slots
            params.n_parallel = self._slots
            params.cpuparams.n_threads = (
                len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            )
            params.ui = False
            if len(self._files) > 1:
                params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(self._files[1], 1.0)]
            try:
                self._server = xllamacpp.Server(params)
            except (RuntimeError, ValueError, MemoryError) as error:
                raise BackendFault(f"llama.cpp cannot load {' + '.join(self._files)}: {error}") from error
            return self._server, time.perf_counter() - started

    def _chat(self, request: ChatRequest) -> ModelReply:
        started = time.perf_counter()
        server, load_s = self._load()
        text: list[str] = []
        thinking: list[str] = []
        timings: dict[str, Any] = {}
        state: dict[str, Any] = {"stop": None, "error": None, "first_s": None}

        def receive(chunk: dict[str, Any]) -> None:
            if "error" in chunk:
                state["error"] = chunk["error"]
                return
            timings.update(chunk.get("timings") or {})
            for choice in chunk.get("choices", ()):
                delta = choice.get("delta", {})
                text.append(delta.get("content") or "")
                thinking.append(delta.get("reasoning_content") or "")
                if state["first_s"] is None and (text[-1] or thinking[-1]):
                    state["first_s"] = time.perf_counter() - started
                state["stop"] = choice.get("finish_reason") or state["stop"]

        try:
            server.handle_chat_completions(payload(request), receive)
        except (RuntimeError, ValueError) as error:
            raise BackendFault(f"llama.cpp refused the request: {error}") from error
        if state["error"]:
            raise BackendFault(_error_words(state["error"]))
        if state["stop"] is None:
            raise BackendFault("llama.cpp ended the stream before the reply was done")
        return ModelReply(
            text="".join(text),
            thinking="".join(thinking),
            stop_reason=state["stop"],
            prompt_tokens=_sum(timings.get("prompt_n"), timings.get("cache_n")),
            completion_tokens=timings.get("predicted_n"),
            load_s=load_s,
            prompt_s=_milli(timings.get("prompt_ms")),
            decode_s=_milli(timings.get("predicted_ms")),
            first_token_s=state["first_s"],
            total_s=time.perf_counter() - started,
        )


def payload(request: ChatRequest) -> dict[str, Any]:
    """The request as llama.cpp's server takes it."""
    options = request.options
    body: dict[str, Any] = {
        "messages": [{"role": one.role, "content": one.content} for one in request.messages],
        "max_tokens": options["max_tokens"],
        "temperature": options["temperature"],
        "seed": options["seed"],
        "stream": True,
        "timings_per_token": False,
        "chat_template_kwargs": {"enable_thinking": bool(request.think)},
    }
    for name in ("top_p", "top_k", "repeat_penalty"):
        if options[name] is not None:
            body[name] = options[name]
    if options["stop"]:
        body["stop"] = options["stop"]
    if options["format"] == "json":
        body["response_format"] = {"type": "json_object"}
    elif options["format"]:
        schema = {"name": "answer", "schema": options["format"]}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _error_words(error: Any) -> str:
    if isinstance(error, dict) and error.get("type") == "exceed_context_size_error":
        return (
            f"the prompt has {error.get('n_prompt_tokens')} tokens and the context {error.get('n_ctx')}; "
            "raise options.num_ctx in task.yaml"
        )
    said = error.get("message", error) if isinstance(error, dict) else error
    return f"llama.cpp answered with an error: {said}"


def _milli(value: float | None) -> float | None:
    return None if value is None else value / 1000


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None else one + (other or 0)
