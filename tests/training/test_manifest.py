"""An adapter folder is opened only when it is complete, whole, safe and as it was trained."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evals.backends.base import Model, parse_spec
from evals.backends.hugging_face_folder import resolve
from evals.errors import TrainingError
from tests.small_hf_model import change_json, save_model
from tests.training.small_adapter import make_adapter, manifest_of
from training.bases import open_base
from training.manifest import open_adapter, read_manifest, refuse_other_base, write_manifest


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    return make_adapter(tmp_path_factory.mktemp("made") / "adapter", base)


@pytest.fixture
def adapter(tmp_path: Path, made: Path) -> Path:
    """A folder of the test's own."""
    return Path(shutil.copytree(made, tmp_path / "adapter"))


def refusal(folder: Path) -> str:
    with pytest.raises(TrainingError) as caught:
        open_adapter(folder)
    return str(caught.value)


Change = Callable[[dict[str, Any]], object]


def change_weights(folder: Path, change: Change, *, keep_digest: bool = False) -> None:
    """Change an adapter's tensors; the manifest's digest goes with it, so that only the tensors can be what is told."""
    from safetensors.torch import load_file, save_file

    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    before = read_manifest(folder)
    change(tensors)
    save_file(tensors, file)
    if not keep_digest:
        write_manifest(folder, manifest_of(folder, trainable=before.trainable))


def test_a_complete_adapter_is_opened_with_its_manifest_and_settings(adapter: Path) -> None:
    opened = open_adapter(adapter)

    assert opened.folder == adapter and opened.manifest == read_manifest(adapter)
    assert opened.settings["peft_type"] == "LORA" and opened.settings["r"] == 4


def test_its_digest_is_the_one_that_an_evaluation_records(adapter: Path, base: Path) -> None:
    resolved = resolve(parse_spec(f"hf:{base}+{adapter}"))

    assert isinstance(resolved, Model)
    assert resolved.digest.endswith("+" + open_adapter(adapter).manifest.digest)


def test_files_that_decide_no_answer_may_change(adapter: Path) -> None:
    (adapter / "README.md").write_text("# A card\n")
    (adapter / "losses.jsonl").write_text("")

    assert open_adapter(adapter).manifest.name == "small"


# Not complete


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == f"there is no adapter folder {tmp_path / 'none'}"


def test_an_unfinished_training_is_refused_with_how_to_finish_it(adapter: Path) -> None:
    (adapter / "manifest.json").unlink()

    assert (
        f"was not finished: it has no manifest.json; `python -m training train CONFIG.yaml --resume --out {adapter}`"
        in (refusal(adapter))
    )


def test_a_folder_without_weights_or_manifest_is_no_adapter(tmp_path: Path) -> None:
    assert "is no adapter that was trained here" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"steps": "many"}, "steps"),
        ({"speed": 3}, "speed"),
        ({"format": 2}, "format"),
        ({"base": {"name": "x"}}, "base.digest"),
    ],
)
def test_a_damaged_manifest_is_refused(adapter: Path, change: dict[str, Any], field: str) -> None:
    change_json(adapter / "manifest.json", **change)

    assert f"is damaged or of another version of Golden Gate: {field}: " in refusal(adapter)


def test_a_manifest_that_is_no_json_is_refused(adapter: Path) -> None:
    (adapter / "manifest.json").write_text("{")

    assert "is damaged or of another version" in refusal(adapter)


def test_a_figure_that_is_no_number_is_refused(adapter: Path) -> None:
    file = adapter / "manifest.json"
    file.write_text(file.read_text().replace('"loss": 1.5', '"loss": NaN'))

    assert "loss: " in refusal(adapter)


# Not safe


class _Planted:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('it ran')",))


@pytest.mark.parametrize("name", ["adapter_model.bin", "optimizer.pt", "notes.txt", "checkpoint-3/odd"])
@pytest.mark.parametrize("protocol", [2, 5])
def test_a_pickle_in_the_folder_is_refused_whatever_its_name(adapter: Path, name: str, protocol: int) -> None:
    (adapter / name).parent.mkdir(exist_ok=True)
    (adapter / name).write_bytes(pickle.dumps(_Planted(), protocol))

    assert f"holds pickled files ({name}), which run code" in refusal(adapter)


@pytest.mark.parametrize("name", ["adapter_config.json", "tokenizer_config.json", "config.json"])
@pytest.mark.parametrize("key", ["auto_map", "auto_mapping"])
def test_code_that_a_file_names_is_refused(adapter: Path, name: str, key: str) -> None:
    change_json(adapter / name, **{key: {"AutoModel": "evil.Model"}})

    assert f"{name} names code to run ({key})" in refusal(adapter)


def test_a_class_of_transformers_is_no_code_of_its_own(adapter: Path) -> None:
    change = {"auto_mapping": {"base_model_class": "A", "parent_library": "transformers.models.llama"}}
    change_json(adapter / "adapter_config.json", **change)
    write_manifest(adapter, manifest_of(adapter))

    assert open_adapter(adapter).settings["auto_mapping"] == change["auto_mapping"]


# Not whole


def test_a_missing_file_of_weights_is_refused(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").unlink()

    assert "cannot be used: there is no such file" in refusal(adapter)


def test_weights_that_are_no_safetensors_are_refused(adapter: Path) -> None:
    file = adapter / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:200])

    assert "it is no whole safetensors file" in refusal(adapter)


Q0 = "base_model.model.model.layers.0.self_attn.q_proj"


def test_one_matrix_of_a_pair_that_is_missing_is_named(adapter: Path) -> None:
    change_weights(adapter, lambda tensors: tensors.pop(f"{Q0}.lora_B.weight"))

    assert f"{Q0}.lora_B.weight is missing" in refusal(adapter)


def test_a_module_that_is_missing_altogether_is_noticed(adapter: Path) -> None:
    def without(tensors: dict[str, Any]) -> None:
        del tensors[f"{Q0}.lora_A.weight"], tensors[f"{Q0}.lora_B.weight"]

    change_weights(adapter, without)

    assert "tensors are missing: it holds 1,280 of the 1,792 trained numbers" in refusal(adapter)


def test_more_numbers_than_were_trained_are_refused(adapter: Path) -> None:
    write_manifest(adapter, manifest_of(adapter, trainable=100))

    assert "it holds 1,792 numbers, 100 were trained" in refusal(adapter)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(adapter: Path, value: float) -> None:
    def spoil(tensors: dict[str, Any]) -> None:
        tensors[f"{Q0}.lora_A.weight"][0, 0] = value

    change_weights(adapter, spoil)

    assert f"{Q0}.lora_A.weight holds NaN or infinity" in refusal(adapter)


def test_weights_of_another_rank_are_refused(adapter: Path) -> None:
    change_json(adapter / "adapter_config.json", r=8)
    write_manifest(adapter, manifest_of(adapter))

    found = refusal(adapter)

    assert "has the shape [4, 64], which is not of rank 8" in found and "and 5 more problems" in found


def test_a_tensor_that_belongs_to_no_adapter_is_refused(adapter: Path) -> None:
    import torch

    change_weights(adapter, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(2, 2)}))

    assert "lm_head.weight is no matrix of a LoRA adapter" in refusal(adapter)


def test_whole_numbers_instead_of_fractions_are_refused(adapter: Path) -> None:
    import torch

    name = f"{Q0}.lora_A.weight"
    change_weights(adapter, lambda tensors: tensors.update({name: tensors[name].to(torch.int32)}))

    assert f"{name} holds no fractions but torch.int32" in refusal(adapter)


@pytest.mark.parametrize(
    "change", [{"peft_type": "IA3"}, {"r": 0}, {"r": True}, {"r": None}], ids=["ia3", "0", "true", "none"]
)
def test_settings_of_something_else_than_lora_are_refused(adapter: Path, change: dict[str, Any]) -> None:
    change_json(adapter / "adapter_config.json", **change)

    assert "is not that of a LoRA adapter with a rank" in refusal(adapter)


@pytest.mark.parametrize("text", ["[]", "{", ""])
def test_settings_that_cannot_be_read_are_refused(adapter: Path, text: str) -> None:
    (adapter / "adapter_config.json").write_text(text)

    assert "adapter_config.json" in refusal(adapter)


def test_settings_that_are_not_there_are_refused(adapter: Path) -> None:
    (adapter / "adapter_config.json").unlink()

    assert "has no adapter_config.json: the adapter is not whole" in refusal(adapter)


# Not what was trained


def test_other_weights_of_the_same_shape_are_refused(adapter: Path) -> None:
    def double(tensors: dict[str, Any]) -> None:
        tensors[f"{Q0}.lora_A.weight"] *= 2

    change_weights(adapter, double, keep_digest=True)

    assert "are not those that were trained: their digest is" in refusal(adapter)


@pytest.mark.parametrize("file", ["adapter_config.json", "tokenizer.json", "chat_template.jinja"])
def test_settings_tokenizer_or_template_that_were_changed_are_refused(adapter: Path, file: str) -> None:
    if file.endswith(".jinja"):
        (adapter / file).write_text("{{ messages }}")
    else:
        data = json.loads((adapter / file).read_text())
        (adapter / file).write_text(json.dumps(data | {"changed": 1}))

    assert "are not those that were trained" in refusal(adapter)


def test_an_adapter_belongs_to_its_base_only(adapter: Path, base: Path, tmp_path: Path) -> None:
    own = open_base(str(base))
    write_manifest(adapter, manifest_of(adapter, base={"name": own.name, "digest": own.digest}))
    opened = open_adapter(adapter)
    other = open_base(str(save_model(tmp_path / "other", layers=1)))

    refuse_other_base(opened, own)
    with pytest.raises(TrainingError, match=r"was trained on .*, not on .*/other \("):
        refuse_other_base(opened, other)


def test_what_is_written_is_read_back(adapter: Path) -> None:
    manifest = manifest_of(adapter, held_out_loss=0.25, git={"commit": "c", "dirty": True})
    write_manifest(adapter, manifest)

    assert read_manifest(adapter) == manifest
    assert sorted(json.loads((adapter / "manifest.json").read_text())) == sorted(manifest.model_dump())
