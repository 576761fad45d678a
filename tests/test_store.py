"""The response store: what was put comes back whole, and what is damaged never does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.backends.base import Message, ModelReply
from evals.store import ResponseStore
from tests.conftest import chat_request, tiny_model

MODEL = tiny_model()
REQUEST = chat_request("hello", system="Be brief.")
KEY = REQUEST.key(MODEL.digest)
REPLY = ModelReply(
    text='né "quoted" \n\\ 😀', thinking="Hm.", prompt_tokens=26, total_s=0.1, retries=("busy",)
)

# Characters of every kind, halves of characters included.
texts = st.text(st.characters(exclude_categories=()))
seconds = st.none() | st.floats(min_value=0, allow_infinity=False)
replies = st.builds(
    ModelReply,
    text=texts,
    thinking=texts,
    stop_reason=st.sampled_from(["stop", "length"]),
    prompt_tokens=st.none() | st.integers(0, 10**9),
    completion_tokens=st.none() | st.integers(0, 10**9),
    total_s=seconds,
    retries=st.lists(texts, max_size=3).map(tuple),
)


@contextmanager
def fresh_store() -> Iterator[ResponseStore]:
    with tempfile.TemporaryDirectory() as folder:
        yield ResponseStore(Path(folder))


def as_told(reply: ModelReply) -> ModelReply:
    """A reply after a trip through JSON, as from the process that asks: adjacent halves become a character."""
    return ModelReply.from_json(json.loads(json.dumps(reply.to_json())))


def whole_entry() -> bytes:
    with fresh_store() as store:
        store.put(KEY, MODEL, REQUEST, REPLY)
        return store.path(KEY).read_bytes()


ENTRY = whole_entry()


def place(store: ResponseStore, entry: bytes, key: str = KEY) -> Path:
    path = store.path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(entry)
    return path


def assert_refused(store: ResponseStore, entry: bytes, key: str = KEY) -> None:
    path = place(store, entry, key)
    assert store.get(key) is None
    assert not path.exists()
    assert path.with_suffix(".damaged").read_bytes() == entry
    store.put(key, MODEL, REQUEST, REPLY)
    assert key != KEY or store.get(key) == REPLY


# Whole


@given(replies, texts, texts)
def test_what_was_put_comes_back(reply: ModelReply, system: str, user: str) -> None:
    request = replace(REQUEST, messages=(Message("system", system), Message("user", user)))
    key = request.key(MODEL.digest)
    with fresh_store() as store:
        assert store.get(key) is None
        store.put(key, MODEL, request, reply)
        assert store.get(key) == as_told(reply)


def test_an_entry_is_one_file_that_tells_what_was_asked(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path)
    store.put(KEY, MODEL, REQUEST, REPLY)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / KEY[:2] / f"{KEY}.json"]
    body = json.loads(json.loads(store.path(KEY).read_bytes())["body"])
    assert (body["model"], body["digest"]) == ("tiny", MODEL.digest)
    assert body["request"]["messages"][1] == {"role": "user", "content": "hello"}


def test_the_last_writer_of_a_key_wins(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path)
    store.put(KEY, MODEL, REQUEST, REPLY)
    store.put(KEY, MODEL, REQUEST, ModelReply(text="later"))
    assert store.get(KEY) == ModelReply(text="later")


def test_ten_megabytes_come_back(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path)
    huge = ModelReply(text="é\0\x1b[31m\ud83d" * 2_000_000)
    store.put(KEY, MODEL, REQUEST, huge)
    assert store.get(KEY) == huge


# Damaged


@given(st.integers(0, len(ENTRY) - 1))
def test_an_entry_cut_at_any_byte_is_refused(length: int) -> None:
    with fresh_store() as store:
        assert_refused(store, ENTRY[:length])


@given(st.integers(0, len(ENTRY) - 1), st.integers(1, 255))
def test_an_entry_with_any_byte_flipped_is_refused_or_means_the_same(at: int, bits: int) -> None:
    flipped = ENTRY[:at] + bytes([ENTRY[at] ^ bits]) + ENTRY[at + 1 :]
    with fresh_store() as store:
        if json.dumps(_read(flipped)) == json.dumps(json.loads(ENTRY)):  # one space for another
            place(store, flipped)
            assert store.get(KEY) == REPLY
        else:
            assert_refused(store, flipped)


def _read(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def test_an_entry_under_the_key_of_another_request_is_refused(tmp_path: Path) -> None:
    assert_refused(ResponseStore(tmp_path), ENTRY, chat_request("another").key(MODEL.digest))


def test_an_entry_of_another_digest_is_refused(tmp_path: Path) -> None:
    assert_refused(ResponseStore(tmp_path), ENTRY, REQUEST.key("e" * 64))


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"\0" * len(ENTRY),
        b"null",
        b"[]",
        b"5",
        b"{}",
        b'{"sha256": "", "body": 5}',
        b'{"sha256": "", "body": null}',
        b'{"sha256": "", "body": "\xc3\xa9"}',
        b"<html>",
        b"[" * 100_000,
        ENTRY + ENTRY,
        ENTRY.decode().encode("utf-16")[:-1],
    ],
    ids=[
        "empty",
        "zeros",
        "null",
        "list",
        "number",
        "object",
        "body-is-a-number",
        "body-is-null",
        "body-is-not-ascii",
        "html",
        "deep",
        "twice",
        "utf-16-cut",
    ],
)
def test_what_is_no_entry_is_refused(tmp_path: Path, entry: bytes) -> None:
    assert_refused(ResponseStore(tmp_path), entry)


@pytest.mark.parametrize(
    "body",
    [
        "5",
        "[]",
        "{}",
        json.dumps({"request": REQUEST.to_json(), "digest": MODEL.digest, "reply": {}}),
        json.dumps({"request": REQUEST.to_json(), "digest": MODEL.digest, "reply": 5}),
        json.dumps({"request": {"model": "tiny"}, "digest": MODEL.digest, "reply": REPLY.to_json()}),
        json.dumps({
            "request": REQUEST.to_json(),
            "digest": MODEL.digest,
            "reply": REPLY.to_json() | {"later": 1},
        }),
    ],
    ids=["number", "list", "object", "empty-reply", "reply-is-a-number", "other-request", "newer-reply"],
)
def test_an_entry_of_another_shape_is_refused_although_its_checksum_fits(tmp_path: Path, body: str) -> None:
    entry = json.dumps({"sha256": sha256(body.encode()).hexdigest(), "body": body})
    assert_refused(ResponseStore(tmp_path), entry.encode())


def test_a_folder_in_the_place_of_an_entry_counts_as_absent(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path)
    store.path(KEY).mkdir(parents=True)
    assert store.get(KEY) is None


# Several at once, and places that cannot be written

WRITER = """\
    import sys
    from pathlib import Path
    from evals.backends.base import ModelReply
    from evals.store import ResponseStore
    from tests.test_store import KEY, MODEL, REQUEST

    store = ResponseStore(Path(sys.argv[1]))
    sys.stdin.readline()
    for turn in range(40):
        store.put(KEY, MODEL, REQUEST, ModelReply(text=sys.argv[2] * 50_000, completion_tokens=turn))
        assert len(set(store.get(KEY).text)) == 1
"""


def run_writer(folder: Path, letter: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(folder), letter],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )


def test_concurrent_writers_of_one_key_leave_one_whole_entry(tmp_path: Path) -> None:
    writers = [run_writer(tmp_path, letter) for letter in "abc"]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    said = [writer.communicate()[1] for writer in writers]

    assert [writer.returncode for writer in writers] == [0, 0, 0], said
    reply = ResponseStore(tmp_path).get(KEY)
    assert reply is not None
    assert reply.completion_tokens == 39
    assert reply.text in {letter * 50_000 for letter in "abc"}
    assert [path.name for path in (tmp_path / KEY[:2]).iterdir()] == [f"{KEY}.json"]


def test_a_place_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = ResponseStore(tmp_path / "file" / "store")
    with pytest.raises(OSError, match="Not a directory"):
        store.put(KEY, MODEL, REQUEST, REPLY)
    assert store.get(KEY) is None


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc, which nobody can write to")
def test_a_read_only_place_cannot_be_written() -> None:
    with pytest.raises(OSError):
        ResponseStore(Path("/proc/golden")).put(KEY, MODEL, REQUEST, REPLY)


NO_SPACE = """\
    import resource, sys
    from pathlib import Path
    from evals.backends.base import ModelReply
    from evals.store import ResponseStore
    from tests.test_store import KEY, MODEL, REQUEST

    store = ResponseStore(Path(sys.argv[1]))
    store.put(KEY, MODEL, REQUEST, ModelReply(text="first"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    try:
        store.put(KEY, MODEL, REQUEST, ModelReply(text="x" * 100_000))
    except OSError as error:
        print(type(error).__name__, error.strerror)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
def test_a_full_disk_leaves_the_old_entry_and_nothing_half_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(NO_SPACE), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.stdout == "OSError File too large\n"
    assert ResponseStore(tmp_path).get(KEY) == ModelReply(text="first")
    assert [path.name for path in (tmp_path / KEY[:2]).iterdir()] == [f"{KEY}.json"]
