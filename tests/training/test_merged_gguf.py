"""Merged weights as GGUF: the weights of the folder, and all else as in the file that the base came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from safetensors import safe_open

from evals.errors import TrainingError
from tests.small_hf_model import change_json, save_model
from training.merged_gguf import write_merged_gguf

TABLES: Mapping[str, Any] = {
    "rope_freqs.weight": np.linspace(1, 32, 8, dtype=np.float32),
    "rope_factors_long.weight": np.linspace(1, 4, 8, dtype=np.float32),
    "rope_factors_short.weight": np.linspace(1, 2, 8, dtype=np.float16),
}


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("merged") / "merged")


def write_source(
    path: Path, merged: Path, more: Mapping[str, Any] | None = None, *, rows: Mapping[str, int] | None = None
) -> Path:
    """A base as GGUF: zeros where `merged` has weights, with other numbers of `rows`, and `more` among them."""
    config = json.loads((merged / "config.json").read_text())
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_string("tokenizer.ggml.pre", "smollm")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_1)
    with safe_open(merged / "model.safetensors", framework="np") as opened:
        for key in opened.keys():  # noqa: SIM118 - the file is no mapping
            shape = opened.get_slice(key).get_shape()
            shape[0] = (rows or {}).get(key, shape[0])
            writer.add_tensor(str(names.get_name(key, (".weight",))), np.zeros(shape, np.float32))
            for name, values in (more or {}).items():
                writer.add_tensor(name, values)
            more = {}
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def read(path: Path) -> tuple[dict[str, Any], dict[str, gguf.ReaderTensor]]:
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items() if name[:5] != "GGUF."}
    return fields, {one.name: one for one in reader.tensors}


def test_weights_are_those_of_the_folder_and_all_else_is_the_sources(merged: Path, tmp_path: Path) -> None:
    source = write_source(tmp_path / "source.gguf", merged)
    fields, tensors = read(write_merged_gguf(merged, source, tmp_path / "merged.gguf"))
    assert fields["tokenizer.ggml.pre"] == "smollm" and fields["tokenizer.ggml.tokens"] == ["a", "b"]
    assert fields["general.file_type"] == gguf.LlamaFileType.MOSTLY_F16
    assert list(tensors) == list(read(source)[1])
    with safe_open(merged / "model.safetensors", framework="np") as opened:
        embedding = opened.get_tensor("model.embed_tokens.weight")
        norm = opened.get_tensor("model.norm.weight")
    assert tensors["token_embd.weight"].tensor_type == gguf.GGMLQuantizationType.F16
    assert np.array_equal(tensors["token_embd.weight"].data, embedding.astype(np.float16))
    assert tensors["output_norm.weight"].tensor_type == gguf.GGMLQuantizationType.F32
    assert np.array_equal(tensors["output_norm.weight"].data, norm.astype(np.float32))
    assert {file.name for file in tmp_path.iterdir()} == {"source.gguf", "merged.gguf"}


def test_tables_of_frequencies_are_taken_over_as_they_are(merged: Path, tmp_path: Path) -> None:
    source = write_source(tmp_path / "source.gguf", merged, TABLES)
    plain = write_source(tmp_path / "plain.gguf", merged)
    _, tensors = read(write_merged_gguf(merged, source, tmp_path / "merged.gguf"))
    _, without = read(write_merged_gguf(merged, plain, tmp_path / "without.gguf"))
    for name, values in TABLES.items():
        assert tensors[name].data.dtype == values.dtype
        assert np.array_equal(tensors[name].data, values)
    # What comes after them in the file stands where it should.
    assert set(tensors) == {*without, *TABLES}
    assert all(np.array_equal(tensors[name].data, one.data) for name, one in without.items())


def test_a_tensor_that_the_weights_have_not_is_told_and_nothing_is_left(merged: Path, tmp_path: Path) -> None:
    source = write_source(tmp_path / "source.gguf", merged, {"blk.9.odd.weight": np.ones(4, np.float32)})
    with pytest.raises(TrainingError, match=r"the merged weights have no blk\.9\.odd\.weight, which .* has"):
        write_merged_gguf(merged, source, tmp_path / "merged.gguf")
    assert [file.name for file in tmp_path.iterdir()] == ["source.gguf"]


def test_weights_of_another_shape_are_told(merged: Path, tmp_path: Path) -> None:
    source = write_source(tmp_path / "source.gguf", merged, rows={"lm_head.weight": 260})
    said = r"output\.weight has the shape \[259, 64\] in the merged weights and \[260, 64\] in .*source\.gguf"
    with pytest.raises(TrainingError, match=said):
        write_merged_gguf(merged, source, tmp_path / "merged.gguf")


def test_another_architecture_is_told_with_those_that_can_be_written(merged: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gemma"
    folder.mkdir()
    change_json(folder / "config.json", architectures=["Gemma3ForCausalLM"])
    with pytest.raises(TrainingError, match="cannot be written as GGUF here; llama, qwen2, qwen3 can"):
        write_merged_gguf(folder, tmp_path / "source.gguf", tmp_path / "merged.gguf")


def test_a_folder_that_cannot_be_written_to_is_told_with_the_option_that_names_another(
    merged: Path, tmp_path: Path
) -> None:
    source = write_source(tmp_path / "source.gguf", merged)
    with pytest.raises(
        TrainingError, match=r"No such file or directory; make room, or name another .*--work"
    ):
        write_merged_gguf(merged, source, tmp_path / "gone" / "merged.gguf")
