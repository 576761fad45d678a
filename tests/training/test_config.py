"""A training's config: defaults that work, and every mistake in it told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.errors import SettingsError
from training.config import TrainConfig, read_config

HEAD = "name: ops\ndata: examples.jsonl\n"


def written(folder: Path, text: str) -> Path:
    (folder / "examples.jsonl").write_text("{}\n")
    path = folder / "train.yaml"
    path.write_text(text, "utf-8")
    return path


def problems(folder: Path, text: str) -> list[str]:
    """The problems of a config without its folder, below their head line."""
    with pytest.raises(SettingsError) as caught:
        read_config(written(folder, text))
    return str(caught.value).replace(f"{folder}/", "").splitlines()[1:]


def test_a_config_needs_a_name_and_data_and_has_a_default_for_all_else(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, HEAD))

    assert config == TrainConfig(name="ops", data=str(tmp_path / "examples.jsonl"))
    assert config.base == "gguf:smollm2-135m" and config.max_length == 2048 and config.held_out == 0.1
    assert (config.lora.rank, config.lora.alpha, config.lora.targets) == (16, 32, "all-linear")
    assert config.train.method == "auto" and config.train.batch * config.train.accumulate == 8


def test_the_data_file_is_looked_for_beside_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, HEAD)
    monkeypatch.chdir(tmp_path.parent)

    assert read_config(Path(tmp_path.name) / "train.yaml").data == f"{tmp_path.name}/examples.jsonl"


def test_all_fields_can_be_set(tmp_path: Path) -> None:
    text = HEAD + (
        "task: minecraft_ops\nbase: ./model\nbase_ollama: smollm2:135m\nheld_out: 0.2\nmax_length: 512\n"
        "allow_contamination: a trial\nlora: {rank: 8, alpha: 16, dropout: 0, targets: [q_proj, v_proj]}\n"
        "train: {method: fp32, epochs: 1.5, max_steps: 3, batch: 2, accumulate: 4, learning_rate: 1e-3, schedule: cosine,\n"
        "  warmup: 0.1, weight_decay: 0.01, neftune: 5, seed: 7, checkpointing: false, group_by_length: false,\n"
        "  early_stop: 2, evaluate_every: 5, save_every: 5}\n"
    )

    config = read_config(written(tmp_path, text))

    assert (
        config.lora.targets == ["q_proj", "v_proj"] and config.train.neftune == 5 and config.train.seed == 7
    )
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config  # as a manifest keeps it


def test_each_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    found = problems(
        tmp_path, HEAD + "lora:\n  rank: 0\n  targets: []\ntrain:\n  seed: true\n  lr: 0.1\nspeed: 3\n"
    )

    assert [one.partition(" (")[0] for one in found] == [
        "train.yaml:4: lora.rank: should be greater than or equal to 1, got 0",
        "train.yaml:5: lora.targets: is empty",
        "train.yaml:7: train.seed: is no whole number, got True",
        "train.yaml:8: train.lr: unknown key",
        "train.yaml:9: speed: unknown key",
    ]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("held_out: 0.9", "held_out: should be less than or equal to 0.5"),
        ("max_length: 4", "max_length: should be greater than or equal to 16"),
        ("task: Not A Name", "task: 'Not A Name' is no valid name"),
        ("lora: {dropout: 1}", "lora.dropout: should be less than 1"),
        ("train: {method: int8}", "train.method: should be 'auto', 'bf16', 'qlora', 'hqq' or 'fp32'"),
        ("train: {schedule: step}", "train.schedule: should be 'linear', 'cosine' or 'constant'"),
        ("train: {learning_rate: 0}", "train.learning_rate: should be greater than 0"),
        ("train: {learning_rate: .nan}", "train.learning_rate: should be a finite number"),
        ("train: {epochs: .inf}", "train.epochs: should be a finite number"),
        ("allow_contamination: ' '", "allow_contamination: is blank: say why the overlaps may stay"),
        ("train: {neftune: 5, share_prefix: true}", "train: neftune and share_prefix do not go together"),
        ("train: {neftune: 0}", "train.neftune: should be greater than 0"),
    ],
)
def test_a_value_out_of_its_range_is_refused(tmp_path: Path, line: str, what: str) -> None:
    (found,) = problems(tmp_path, f"{HEAD}{line}\n")

    assert found.startswith(f"train.yaml:3: {what}")


@pytest.mark.parametrize("name", ["Ops", "ops:prod", "../ops", ""])
def test_a_name_that_ollama_could_not_take_is_refused(tmp_path: Path, name: str) -> None:
    (found,) = problems(tmp_path, f"name: '{name}'\ndata: examples.jsonl\n")

    assert found.startswith("train.yaml:1: name: ")


def test_an_early_stop_needs_held_out_examples(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, HEAD + "held_out: 0\ntrain: {early_stop: 2}\n")

    assert "train.early_stop needs held-out examples" in found


def test_an_early_stop_needs_a_checkpoint_at_each_evaluation(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, HEAD + "train: {early_stop: 2, evaluate_every: 5}\n")

    assert "give save_every the value of evaluate_every" in found


def test_a_data_file_that_is_not_there_is_told_with_its_line(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "name: ops\ndata: other.jsonl\n")

    assert found == "train.yaml:2: data: there is no file other.jsonl"


@pytest.mark.parametrize("name", ["~nosuchuser/x.jsonl", "a" * 300])
def test_a_data_file_that_no_file_can_be_called_is_told_with_its_line(tmp_path: Path, name: str) -> None:
    (found,) = problems(tmp_path, f"name: ops\ndata: {name}\n")

    assert found.startswith(f"train.yaml:2: data: {name[:40]}") and "cannot be the name of a file: " in found


def test_a_config_that_is_no_yaml_is_told(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "name: [ops\n")

    assert "is not YAML" in found


def test_an_unknown_key_is_told_with_those_that_are_known_there(tmp_path: Path) -> None:
    (above,) = problems(tmp_path, HEAD + "speed: 3\n")
    (within,) = problems(tmp_path, HEAD + "lora: {ranks: 3}\n")

    assert "(keys here: name, task, base, " in above
    assert within.endswith("lora.ranks: unknown key (keys there: rank, alpha, dropout, targets)")
