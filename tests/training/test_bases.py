"""Bases on disk, on real files: small models made here, and GGUF files written with llama.cpp's own writer."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evals.backends.base import Model, ModelSpec
from evals.backends.hugging_face_folder import resolve
from evals.backends.weights import sha256_of
from evals.errors import TrainingError
from tests.small_hf_model import SPECIAL, TEMPLATE, change_json, save_adapter, save_model
from training.bases import Base, open_base
from training.data import Example
from training.encode import Encoded, open_encoder

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

HIDDEN, INNER, HEADS, KEYS = 64, 96, 4, 2


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where dequantised models go in these tests."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GOLDENGATE_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("base") / "small")


def write_gguf(
    file: Path, *, template: str | None = TEMPLATE, architecture: str = "llama", without: str = ""
) -> dict[str, Any]:
    """A model of one layer, its matrices in Q8_0; returns what each of them stands for."""
    import gguf
    import numpy as np
    from tokenizers import pre_tokenizers

    letters = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "ab"]
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(1)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEYS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(letters) + len(SPECIAL))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*letters, *SPECIAL])
    writer.add_token_types([1] * len(letters) + [3] * len(SPECIAL))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(258)
    if template:
        writer.add_chat_template(template)
    keys = HIDDEN // HEADS * KEYS
    shapes = {
        "token_embd": (260, HIDDEN), "blk.0.attn_q": (HIDDEN, HIDDEN), "blk.0.attn_k": (keys, HIDDEN),
        "blk.0.attn_v": (keys, HIDDEN), "blk.0.attn_output": (HIDDEN, HIDDEN), "blk.0.ffn_gate": (INNER, HIDDEN),
        "blk.0.ffn_up": (INNER, HIDDEN), "blk.0.ffn_down": (HIDDEN, INNER),
    }  # fmt: skip
    random = np.random.default_rng(0)
    meant = {}
    kind = gguf.GGMLQuantizationType.Q8_0
    for name, shape in shapes.items():
        packed = gguf.quants.quantize(random.normal(size=shape).astype(np.float32), kind)
        meant[name] = gguf.quants.dequantize(packed, kind)
        if name != without:
            writer.add_tensor(f"{name}.weight", packed, raw_dtype=kind)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(HIDDEN, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return meant


def opened(file: Path) -> Base:
    return open_base(f"gguf:{file}")


def test_a_folder_is_a_base_as_it_stands(small: Path) -> None:
    base = open_base(str(small))
    asked = resolve(ModelSpec("hf:it", "hf", str(small)))
    assert isinstance(asked, Model)
    assert base == Base(str(small), small, asked.digest, "")


def test_the_revision_of_a_snapshot_is_its_commit(small: Path, tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    (tmp_path / "models--o--n" / "snapshots").mkdir(parents=True)
    snapshot = tmp_path / "models--o--n" / "snapshots" / commit
    snapshot.symlink_to(small)
    assert open_base(str(snapshot)).revision == ""  # a link of the user's to a folder that is no snapshot
    snapshot.unlink()
    save_model(snapshot)
    assert open_base(str(snapshot)).revision == commit


def test_a_gguf_file_becomes_safetensors_of_exactly_what_it_stands_for(tmp_path: Path, cache: Path) -> None:
    from safetensors.numpy import load_file

    meant = write_gguf(tmp_path / "small.gguf")
    base = opened(tmp_path / "small.gguf")
    assert base.revision == sha256_of(tmp_path / "small.gguf")
    assert base.folder == cache / "bases" / base.revision
    held = load_file(base.folder / "model.safetensors")
    assert {str(one.dtype) for one in held.values()} == {"float32"}
    assert (held["model.embed_tokens.weight"] == meant["token_embd"]).all()
    assert (held["model.layers.0.self_attn.v_proj.weight"] == meant["blk.0.attn_v"]).all()
    assert (held["model.layers.0.mlp.down_proj.weight"] == meant["blk.0.ffn_down"]).all()
    assert not list(cache.glob("bases/*.part-*"))


def test_the_chat_template_comes_along_and_so_do_the_end_tokens(tmp_path: Path) -> None:
    from evals.backends.base import Message

    write_gguf(tmp_path / "small.gguf", template=TEMPLATE)
    encoder = open_encoder(opened(tmp_path / "small.gguf").folder, 100)
    done = encoder.encode(Example(1, (Message("user", "hi"), Message("assistant", "yes")), {}))
    assert isinstance(done, Encoded)
    assert done.input_ids[-1] == 258


def test_a_dequantised_model_is_neither_quantised_for_transformers_nor_asked_differently(
    tmp_path: Path,
) -> None:
    from transformers import AutoModelForCausalLM

    write_gguf(tmp_path / "small.gguf")
    base = opened(tmp_path / "small.gguf")
    model: Any = AutoModelForCausalLM.from_pretrained(base.folder)
    assert getattr(model, "quantization_method", None) is None
    assert not hasattr(model.config, "quantization_config")
    assert model.generation_config.eos_token_id == 258


def test_a_gguf_file_is_dequantised_once(tmp_path: Path) -> None:
    write_gguf(tmp_path / "small.gguf")
    first = opened(tmp_path / "small.gguf")
    made = (first.folder / "model.safetensors").stat()
    (tmp_path / "small.gguf").rename(tmp_path / "moved.gguf")
    again = opened(tmp_path / "moved.gguf")
    assert (again.folder, again.digest, again.revision) == (first.folder, first.digest, first.revision)
    assert (again.folder / "model.safetensors").stat() == made


OPEN = "import sys; from training.bases import open_base; print(open_base(sys.argv[1]).digest)"
DIES = "import os, signal; os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL); "


def in_a_process(file: Path, code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, f"gguf:{file}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_a_conversion_that_is_killed_leaves_nothing_that_is_taken_for_a_model(
    tmp_path: Path, cache: Path
) -> None:
    """Killed as late as can be: all is written, and only the name is missing."""
    write_gguf(tmp_path / "small.gguf")
    with in_a_process(tmp_path / "small.gguf", DIES + OPEN) as process:
        assert process.wait() == -9
    (left,) = cache.glob("bases/*.part-*")
    assert (left / "base" / "model.safetensors").is_file()
    base = opened(tmp_path / "small.gguf")
    assert (base.folder / "model.safetensors").is_file()
    assert not list(cache.glob("bases/*.part-*"))


@pytest.mark.slow
def test_two_processes_at_once_get_the_same_base(tmp_path: Path) -> None:
    write_gguf(tmp_path / "small.gguf")
    with (
        in_a_process(tmp_path / "small.gguf", OPEN) as one,
        in_a_process(tmp_path / "small.gguf", OPEN) as two,
    ):
        digests = {one.communicate()[0].strip(), two.communicate()[0].strip()}
    assert digests == {opened(tmp_path / "small.gguf").digest}


def test_no_room_for_the_dequantised_weights_is_told_and_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    """A limit for files stands for a full disk: both break the same write off."""
    write_gguf(tmp_path / "small.gguf")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        with pytest.raises(TrainingError, match=r"small\.gguf cannot be written to .* make room"):
            opened(tmp_path / "small.gguf")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [file.suffix for file in (cache / "bases").iterdir()] == [".lock"]
    assert opened(tmp_path / "small.gguf").folder.is_dir()


def test_a_gguf_file_without_a_chat_template_is_refused_before_its_weights_are_read(
    tmp_path: Path, cache: Path
) -> None:
    write_gguf(tmp_path / "small.gguf", template=None)
    with pytest.raises(TrainingError, match="no chat template"):
        opened(tmp_path / "small.gguf")
    assert [file.suffix for file in (cache / "bases").iterdir()] == [".lock"]


def test_a_gguf_file_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "small.gguf", without="blk.0.ffn_up")
    with pytest.raises(TrainingError, match=r"lacks 1 weights of its architecture \(.*up_proj"):
        opened(tmp_path / "small.gguf")


@pytest.mark.parametrize("how", ["unknown", "cut short"])
def test_a_gguf_file_that_transformers_cannot_read_is_told_as_such(how: str, tmp_path: Path) -> None:
    file = tmp_path / "small.gguf"
    write_gguf(file, architecture="nonsense" if how == "unknown" else "llama")
    if how == "cut short":
        file.write_bytes(file.read_bytes()[:-30_000])
    with pytest.raises(TrainingError, match=r"small\.gguf cannot be dequantised: .* instead"):
        opened(file)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("/nowhere", "there is no folder /nowhere"),
        ("gguf:/nowhere.gguf", "there is no file /nowhere.gguf"),
        ("gguf:hf://one", "is not of the form"),
    ],
)
def test_a_base_that_is_nowhere_is_an_error(name: str, fault: str) -> None:
    with pytest.raises(TrainingError, match=f"^the base {name}: .*{fault}"):
        open_base(name)


def test_a_file_that_is_no_gguf_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "some.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(TrainingError, match="not a GGUF file"):
        opened(tmp_path / "some.gguf")


def test_a_model_that_cannot_be_trained_safely_or_at_all_is_refused(small: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "mute", template=None)
    with pytest.raises(TrainingError, match="no chat template"):
        open_base(str(tmp_path / "mute"))

    save_model(tmp_path / "own")
    change_json(tmp_path / "own" / "config.json", auto_map={"AutoModel": "code.Own"}, model_type="own")
    with pytest.raises(TrainingError, match="brings code of its own"):
        open_base(str(tmp_path / "own"))

    save_model(tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(TrainingError, match="only pickled weights"):
        open_base(str(tmp_path / "pickled"))

    adapter = save_adapter(tmp_path / "adapter", small)
    with pytest.raises(TrainingError, match="is an adapter"):
        open_base(str(adapter))
    with pytest.raises(TrainingError, match="a model and an adapter"):
        open_base(f"{small}+{adapter}")


@pytest.mark.slow
def test_the_embedded_default_is_a_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOLDENGATE_CACHE")
    base = open_base("gguf:smollm2-135m")
    assert base.revision == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert open_encoder(base.folder, 100)
