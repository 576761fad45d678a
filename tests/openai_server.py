"""A local server that speaks OpenAI's chat protocol, answers as it is told and plays the faults that real ones have.

with OpenAIServer() as server:
    server.answers(error(503, "busy"), answer("4"))     # the next two chats; all others get ANSWER
    ...
    assert server.chat_bodies[0]["model"] == "tiny"
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fault_server import FaultServer, Play, whole

USAGE: Mapping[str, int] = {"prompt_tokens": 26, "completion_tokens": 8, "total_tokens": 34}
DONE = b"data: [DONE]\n\n"


def event(data: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n\n"


def piece(text: str = "", reason: str | None = None, **delta: str) -> bytes:
    """An event with a part of the answer."""
    choice = {"index": 0, "delta": ({"content": text} if text else {}) | delta, "finish_reason": reason}
    return event({"id": "c1", "object": "chat.completion.chunk", "model": "tiny", "choices": [choice]})


def answer(*texts: str, reason: str = "stop", thinking: str = "", **last: Any) -> Play:
    """A good answer, an event each of `texts`; `last` goes into the event with the usage."""
    thought = (piece(reasoning_content=thinking),) if thinking else ()
    figures = event({"choices": [], "usage": USAGE} | last)
    return Play((b"".join((*thought, *map(piece, texts), piece(reason=reason), figures, DONE)),))


def error(status: int, said: str = "", **headers: str) -> Play:
    """An error as OpenAI tells it; `retry_after="1"` becomes the header `Retry-After: 1`."""
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    body = {"error": {"message": said, "type": "server_error", "code": status}}
    return Play(whole(body).chunks, status, named)


def listed(*names: str, **more: Any) -> Play:
    """The models that the server has."""
    entries = [{"id": name, "object": "model", "created": 1, "owned_by": "tests"} | more for name in names]
    return whole({"object": "list", "data": entries})


ANSWER = answer("All", " right.")


class OpenAIServer(FaultServer):
    """The server; `models` is what it lists, `props` what it tells of itself as llama-server does, `key` what it wants.

    `loading` is what is answered in place of `props`, as long as it is set.
    """

    chat_path = "/v1/chat/completions"

    def __init__(self, models: Sequence[str] = ("tiny",), props: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.listing = listed(*models)
        self.props = props
        self.key = ""
        self.loading: Play | None = None
        self._answers: deque[Play] = deque()

    def answers(self, *plays: Play) -> None:
        """What the next chats get, in their order."""
        self._answers.extend(plays)

    @property
    def chat_bodies(self) -> list[dict[str, Any]]:
        """What the chats asked."""
        return [json.loads(one.raw) for one in self.chats]

    @property
    def keys(self) -> list[str]:
        """What each request brought as `Authorization`."""
        return [one.headers.get("authorization", "") for one in self.asked]

    def answer_to(self, path: str, raw: bytes) -> Play:
        if self.key and self.keys[-1] != f"Bearer {self.key}":
            return error(401, f"wrong key: {self.keys[-1]}")
        if path == "/v1/models":
            return self.listing
        if path == "/props" and self.loading is not None:
            return self.loading
        if path == "/props" and self.props is not None:
            return whole(self.props)
        if path == self.chat_path:
            return self._answers.popleft() if self._answers else ANSWER
        return error(404, "not found")
