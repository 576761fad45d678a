"""Finds pickles by name and by content, without opening one the way pickle does: loading one runs its code."""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from evals.backends.hugging_face_folder import PICKLES
from evals.errors import TrainingError

_NAMES = (*PICKLES, "*.pickle", "*.joblib", "*.dill")
# Formats that are recognised by their own reader and never handed to pickle. All others are looked into.
_OTHER = (".safetensors", ".gguf", ".json", ".jsonl", ".jinja", ".md", ".svg", ".txt", ".yaml")
_LOOKED_AT_BYTES = 1 << 20


def find_pickles(folder: Path) -> Iterator[Path]:
    """The files below a folder that are pickles, or are named like one; links are followed to files only."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and (any(fnmatch(file.name, one) for one in _NAMES) or is_pickle(file)):
            yield file


def is_pickle(file: Path) -> bool:
    """Whether the content is a pickle: bare, or in the zip archive that `torch.save` writes."""
    with file.open("rb") as opened:
        head = opened.read(_LOOKED_AT_BYTES)
    if head.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(file) as archive:
                return any(name.endswith(".pkl") for name in archive.namelist())
        except zipfile.BadZipFile:
            return True  # an archive cut short: what it held cannot be told
    # Protocol 2 and later begin with this byte, which starts no text of UTF-8.
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return not (file.suffix == ".safetensors" and _has_head_of_safetensors(head, file.stat().st_size))
    # Protocols 0 and 1 are letters: only reading the instructions tells them from text.
    return file.suffix not in _OTHER and _reads_as_pickle(head)


def _has_head_of_safetensors(data: bytes, size: int) -> bool:
    """Whether what looks like a pickle's first bytes is the length of a head of JSON: its zeros are no instruction."""
    length = int.from_bytes(data[:8], "little")
    return data[4:8] == bytes(4) and data[8:9] == b"{" and 8 + length <= size


def _reads_as_pickle(data: bytes) -> bool:
    count = 0
    try:
        for _ in pickletools.genops(data):
            count += 1
    except (ValueError, IndexError, OverflowError, UnicodeDecodeError):
        return False
    return count > 1  # "." alone is an empty program, and a text


def refuse_pickles(folder: Path) -> None:
    """Raise `TrainingError` naming the pickles of a folder."""
    found = [str(file.relative_to(folder)) for file in find_pickles(folder)]
    if found:
        raise TrainingError(
            f"{folder} holds pickled files ({', '.join(found[:3])}), which run code when they are loaded: nothing of the "
            "folder is used. Training here writes none; find out who put them there, and remove them"
        )
