"""The tests' side of generation: hands requests to the process that asks, and replies to the tests.

What the store already holds is answered from there and never reaches a model. A test waits for its
own reply only; whatever else arrives meanwhile is kept for the test that will ask for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from evals.backends.base import AskSettings, ChatRequest, Model, ModelReply, ModelSpec
from evals.errors import GoldenGateError, ModelUnavailable, SettingsError
from evals.store import ResponseStore

LOG_TAIL_LINES = 5
ROOT = str(Path(__file__).parent.parent)
CLOSE_LIMIT_S = 5.0


class Replies:
    """Replies of models, by request key. One process that asks stands behind it, started on first use.

    `on_reply` is called with each reply that a model gave, as it arrives, for the progress line, and `on_note` with each
    new note. `stored` are the keys that the store answered, `loads` how often each model was loaded, by its label.
    """

    def __init__(
        self,
        settings: AskSettings,
        log: Path,
        *,
        refresh: bool = False,
        on_reply: Callable[[ModelReply], None] = lambda reply: None,
        on_note: Callable[[str], None] = lambda note: None,
    ) -> None:
        self._settings = settings
        self._log = log
        self._store = ResponseStore(Path(settings.store)) if settings.store else None
        self._refresh = refresh
        self.on_reply = on_reply
        self.on_note = on_note
        self._ready: dict[str, ModelReply] = {}
        # What models still owe, in the order in which they were asked.
        self._owed: dict[str, tuple[Model, dict[str, ChatRequest]]] = {}
        self._process: subprocess.Popen[str] | None = None
        self._log_file: IO[bytes] | None = None
        self.stored: set[str] = set()
        self.notes: list[str] = []
        self.loads: dict[str, int] = {}
        self._died_under: set[str] = set()

    def resolve(self, specs: Sequence[ModelSpec]) -> list[Model | ModelUnavailable]:
        """The model behind each spec, or why it cannot be asked."""
        self.start()
        self._send({"do": "resolve", "specs": [asdict(spec) for spec in specs]})
        message = self._receive_next()
        if "resolved" not in message:
            raise SettingsError(str(message.get("broken") or self._death_notice()))
        return [
            ModelUnavailable(one["unavailable"]) if "unavailable" in one else Model.from_json(one)
            for one in message["resolved"]
        ]

    def order(self, model: Model, requests: Iterable[ChatRequest]) -> None:
        """Ask for replies ahead of need; those in the store are there at once, except for a recorded run's."""
        store = None if self._refresh or model.spec.backend == "replay" else self._store
        missing: dict[str, ChatRequest] = {}
        for request in requests:
            key = model.key(request)
            if key in self._ready or self._is_owed(key):
                continue
            kept = store.get(key) if store else None
            if kept is not None:
                self._ready[key] = kept
                self.stored.add(key)
                if model.spec.backend == "openai":
                    self._note(
                        f"{model.label}: its server tells no digest of its weights, so replies from the store may be "
                        "those of other weights under this name; --refresh asks anew"
                    )
            else:
                missing[key] = request
        if missing:
            _, owed = self._owed.setdefault(model.label, (model, {}))
            owed |= missing
            self.start()
            self._ask(model, missing)

    def take_over(self, replies: Mapping[str, ModelReply]) -> None:
        """Replies that are there already, from before a run was interrupted: they are not asked for again."""
        self._ready.update(replies)

    def wait(self, key: str) -> ModelReply:
        """The reply to an ordered request, as soon as it is there; raises if it was not ordered."""
        while key not in self._ready:
            if not self._is_owed(key):
                raise GoldenGateError("a reply was awaited that nobody asked for")
            if not self._receive_next():
                self._begin_again()
        return self._ready[key]

    def unload(self, model: Model) -> None:
        """Take a model out of memory, after all that it was asked; returns when it is out.

        Raises `GoldenGateError` where the process that asks dies of it twice.
        """
        for last in (False, True):
            self.start()
            self._send({"do": "unload", "model": model.to_json()})
            while message := self._receive_next():
                if message.get("unloaded") == model.label:
                    return
            if last:
                raise GoldenGateError(f"{model.label} cannot be unloaded: {self._death_notice()}")
            self._begin_again()

    def _is_owed(self, key: str) -> bool:
        return any(key in owed for _, owed in self._owed.values())

    def _take(self, key: str, reply: ModelReply) -> None:
        self._ready[key] = reply
        for label, (_, owed) in list(self._owed.items()):
            if owed.pop(key, None) is not None and not owed:
                del self._owed[label]

    def _begin_again(self) -> None:
        """The process died. The model that it was asking is asked once more by a new one, for what it still owes; should
        that one die too, this is a fault. The other models are asked by the new process in any case.
        """
        reason = self._death_notice()
        label, (_, owed) = next(iter(self._owed.items()), ("", (None, {})))
        if label in self._died_under:
            for key in list(owed):
                self._take(key, ModelReply(fault=reason, stop_reason="fault"))
        elif label:
            self._died_under.add(label)
            self._note(f"{reason} What it still owed of {label}, {len(owed)} replies, was asked once more.")
        self.close()
        if self._owed:
            self.start()
            for model, missing in self._owed.values():
                self._ask(model, missing)

    def _ask(self, model: Model, requests: Mapping[str, ChatRequest]) -> None:
        asked = [request.to_json() for request in requests.values()]
        self._send({"do": "ask", "model": model.to_json(), "requests": asked})

    def forget(self, key: str) -> None:
        """Give a reply's memory back once its last test is done; it can then be ordered anew."""
        self._ready.pop(key, None)

    def close(self) -> None:
        """End the process that asks; what it was told of replies is in the store."""
        if self._process is not None:
            assert self._process.stdin and self._process.stdout
            _close_quietly(self._process.stdin)
            try:
                self._process.wait(timeout=CLOSE_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            _close_quietly(self._process.stdout)
            self._process = None
        if self._log_file is not None:
            self._log_file.close()
            self._log_file = None
            if self._log.exists() and not self._log.stat().st_size:
                self._log.unlink()

    def start(self) -> None:
        """Start the process that asks, if it is not there yet; it takes half a second to be ready."""
        if self._process is not None:
            return
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log_file = self._log.open("ab")
        self._process = subprocess.Popen(
            # -P and the path: neither may a file of the user's folder pass for a module, nor need we be installed.
            [sys.executable, "-P", "-m", "evals.generate"],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")])),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log_file,
            text=True,
            encoding="ascii",
        )
        self._send(asdict(self._settings))

    @property
    def pid(self) -> int | None:
        """The process that asks, which is also the one that computes an embedded model; None while there is none."""
        return self._process.pid if self._process else None

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process and self._process.stdin
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, OSError):
            pass  # it died: the next wait says so, with its log

    def _receive_next(self) -> dict[str, Any]:
        """The next message that is not a note, taken in if it is a reply; empty if the process is dead."""
        while "note" in (message := self._receive()):
            self._note(message["note"])
        if "key" in message:
            reply = ModelReply.from_json(message["reply"])
            self.loads[message["model"]] = self.loads.get(message["model"], 0) + message["loads"]
            self._take(message["key"], reply)
            self.on_reply(reply)
        return message

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)
            self.on_note(note)

    def _receive(self) -> dict[str, Any]:
        assert self._process and self._process.stdout
        line = self._process.stdout.readline()
        message: dict[str, Any] = json.loads(line) if line.endswith("\n") else {}
        return message

    def _death_notice(self) -> str:
        assert self._process
        code = self._process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        hint = " (out of memory?)" if code == -9 else ""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
        said = f" Last lines of {self._log}: " + " | ".join(lines) if lines else ""
        return f"the process that asks the model {how}{hint}.{said}"


def _close_quietly(pipe: IO[str]) -> None:
    # Unsent bytes to a process that is gone are no loss.
    with contextlib.suppress(OSError):
        pipe.close()
