"""Fixtures that more than one test file uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from evals.backends.base import AskSettings, ChatRequest, Message, Model, parse_spec
from evals.replies import Replies
from tests.evals_run import Evals, write_task
from tests.fault_server import FaultServer, listed_digest
from tests.real_ollama import OllamaServer, server_with_model

OPTIONS: dict[str, Any] = {
    "temperature": 0.0,
    "seed": 0,
    "max_tokens": 64,
    "num_ctx": 4096,
    "top_p": None,
    "top_k": None,
    "repeat_penalty": None,
    "stop": [],
    "format": None,
}


def chat_request(
    text: str, *, system: str = "", think: bool | str | None = None, repeat: int = 0, **options: Any
) -> ChatRequest:
    """A request with one user message, and the usual options but for those named."""
    messages = (Message("system", system),) if system else ()
    return ChatRequest(
        "task", text[:40], (*messages, Message("user", text)), OPTIONS | options, think, repeat
    )


def tiny_model(name: str = "tiny", digest: str = "", *, thinks: bool = False) -> Model:
    """A resolved model of the fault server, with the digest that is listed there unless another is given."""
    listed = listed_digest(name if ":" in name else f"{name}:latest")
    return Model(parse_spec(name), digest or listed, thinks=thinks)


class MakeReplies(Protocol):
    """`replies(concurrency=2, store=folder)`: a `Replies` that asks the fault server or `hosts`, closed after the test."""

    def __call__(
        self,
        *,
        concurrency: int | None = None,
        timeout_s: float = 30.0,
        store: Path | None = None,
        refresh: bool = False,
        hosts: Sequence[str] = (),
        server_wait_s: float = 20.0,
        share_server: bool = False,
    ) -> Replies: ...


@pytest.fixture
def fault_server() -> Iterator[FaultServer]:
    """A server of the test's own."""
    with FaultServer() as server:
        yield server


@pytest.fixture
def evals(tmp_path: Path, fault_server: FaultServer) -> Evals:
    """A run's surroundings, with one task of three cases; the server says 'All right.' to everything."""
    write_task(tmp_path / "golden")
    return Evals(tmp_path, fault_server.url)


@pytest.fixture
def replies(
    fault_server: FaultServer,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[MakeReplies]:
    """Makes `Replies`, each with the real process behind it and all with one cache folder."""
    monkeypatch.setenv("GOLDENGATE_CACHE", str(tmp_path_factory.mktemp("cache")))
    made: list[Replies] = []

    def make(
        *,
        concurrency: int | None = None,
        timeout_s: float = 30.0,
        store: Path | None = None,
        refresh: bool = False,
        hosts: Sequence[str] = (),
        server_wait_s: float = 20.0,
        share_server: bool = False,
    ) -> Replies:
        settings = AskSettings(
            tuple(hosts) or (fault_server.url,),
            concurrency,
            timeout_s,
            str(store) if store else None,
            server_wait_s,
            share_server,
        )
        made.append(Replies(settings, tmp_path / f"generate-{len(made)}.log", refresh=refresh))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def ollama_server() -> Iterator[OllamaServer]:
    """A real Ollama with a small model; skips where none can be had."""
    yield from server_with_model()
