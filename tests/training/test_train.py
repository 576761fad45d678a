"""A whole training: from a config to a complete adapter, over kills, full disks and other people's mistakes."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evals.backends.base import Model, parse_spec
from evals.backends.hugging_face_folder import resolve
from evals.errors import DataError, SettingsError, TrainingError
from tests.faults.mounts import MountSpace
from tests.small_hf_model import change_json, save_model
from tests.training.small_training import Watched, run, write_training
from training.adapter_folder import read_losses
from training.bases import open_base
from training.config import read_config
from training.manifest import open_adapter, refuse_other_base
from training.no_pickle import refuse_pickles

ROOT = Path(__file__).parents[2]
FILES = [
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "chat_template.jinja",
    "loss.svg",
    "losses.jsonl",
    "manifest.json",
    "tokenizer.json",
    "tokenizer_config.json",
]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, base: Path) -> tuple[Path, Watched]:
    """A training that went through, and what it told; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    progress = Watched()
    return run(write_training(folder, base), folder / "out", progress=progress), progress


def alone(arguments: Sequence[object], before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """A training in a process of its own."""
    return subprocess.run(
        [*before, sys.executable, "-m", "tests.training.small_training", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def curve(folder: Path) -> list[tuple[int, bool, float, int]]:
    return [(line.step, line.held_out, line.loss, line.tokens) for line in read_losses(folder)]


def refusal(config: Path, out: Path | None, **named: Any) -> str:
    with pytest.raises(TrainingError) as caught:
        run(config, out, **named)
    return str(caught.value)


# What comes out


def test_the_folder_is_complete_and_holds_nothing_that_only_a_resumption_needs(
    trained: tuple[Path, Watched],
) -> None:
    folder, _ = trained

    assert sorted(path.name for path in folder.iterdir()) == FILES
    refuse_pickles(folder)


def test_the_manifest_tells_what_was_trained_on_what_and_how(
    trained: tuple[Path, Watched], base: Path
) -> None:
    folder, progress = trained
    adapter = open_adapter(folder)
    told = adapter.manifest
    found = open_base(str(base))
    config = read_config(folder.parent / "train.yaml")

    assert (told.name, told.task, told.method, told.seed, told.config) == ("small", "", "fp32", 0, config)
    assert (told.base.name, told.base.digest) == (str(base), found.digest)
    assert told.data.examples + told.data.held_out == 24 and told.data.held_out > 0
    assert (told.data.skipped, told.data.overlaps, told.data.allowed) == (0, 0, "")
    assert told.steps == progress.total == progress.steps[-1][0]
    assert told.tokens == progress.steps[-1][2] and told.tokens_per_s > 0
    half = [loss for _, loss, _ in progress.steps[told.steps // 2 :]]
    assert told.loss == pytest.approx(sum(half) / len(half))
    assert told.held_out_loss == curve(folder)[-1][2] and curve(folder)[-1][1]
    assert told.trainable == 4 * 2 * (128 + 96 + 96 + 128 + 3 * 192) and told.parameters == 107_200
    assert told.peak_memory_bytes and told.peak_memory_bytes > 100_000_000 and told.wall_s > 0
    assert {"torch", "transformers", "peft", "trl", "accelerate", "goldengate"} <= set(told.versions)
    assert told.git["commit"] and told.host["cores"] and told.created.endswith("Z")
    refuse_other_base(adapter, found)


def test_losses_come_as_lines_and_as_a_picture(trained: tuple[Path, Watched]) -> None:
    folder, progress = trained

    assert [(step, loss) for step, held_out, loss, _ in curve(folder) if not held_out] == [
        (step, loss) for step, loss, _ in progress.steps
    ]
    assert [step for step, held_out, _, _ in curve(folder) if held_out] == [
        progress.total // 2,
        progress.total,
    ]
    assert ET.parse(folder / "loss.svg").getroot().tag.endswith("svg")
    assert progress.ended


def test_an_evaluation_takes_the_adapter_and_it_answers_as_it_was_trained(
    trained: tuple[Path, Watched], base: Path
) -> None:
    import peft
    import torch
    import transformers

    folder, _ = trained
    model = resolve(parse_spec(f"hf:{base}+{folder}"))
    assert isinstance(model, Model) and model.digest.endswith(open_adapter(folder).manifest.digest)
    assert model.details["adapter_base"] == str(base) and model.details["tokenizer"] == str(folder)

    plain = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with warnings.catch_warnings():  # PEFT asks transformers for checkpointing by its old name
        warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)
        adapted = peft.PeftModel.from_pretrained(plain, str(folder)).eval()
    from training.material import prepare

    config = read_config(folder.parent / "train.yaml")
    material = prepare(config, open_base(str(base)), folder.parent / "golden")
    sums, count = 0.0, 0
    for one in material.train:
        with torch.no_grad():
            logits = adapted(torch.tensor([one.input_ids])).logits[0].log_softmax(-1)
        for place in range(one.completion_from, len(one.input_ids)):
            sums -= float(logits[place - 1][one.input_ids[place]])
            count += 1
    assert sums / count < 0.85 * curve(folder)[0][2]


def test_the_same_config_gives_the_same_adapter(
    trained: tuple[Path, Watched], base: Path, tmp_path: Path
) -> None:
    again = run(write_training(tmp_path, base), tmp_path / "out")

    assert curve(again) == curve(trained[0])
    assert open_adapter(again).manifest.digest == open_adapter(trained[0]).manifest.digest


def test_without_a_folder_one_of_the_name_and_the_time_is_made(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_training(tmp_path, base, train={"max_steps": 1})
    monkeypatch.chdir(tmp_path)
    first = run(config, None)
    second = run(config, None)

    assert first.parent == second.parent == Path("reports/adapters/small") and first != second
    time.strptime(first.name, "%Y%m%d-%H%M%S")


def test_examples_that_do_not_fit_are_counted(base: Path, tmp_path: Path) -> None:
    config = write_training(tmp_path, base, train={"max_steps": 1})
    with (tmp_path / "examples.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "Say much.", "completion": "much " * 100}) + "\n")
    told = open_adapter(run(config, tmp_path / "out")).manifest

    assert told.data.skipped == 1 and told.data.examples + told.data.held_out == 24


def test_an_early_stop_keeps_the_best_adapter(base: Path, tmp_path: Path) -> None:
    plan = {"early_stop": 1, "evaluate_every": 1, "save_every": 1, "epochs": 30, "schedule": "constant"}
    folder = run(write_training(tmp_path, base, train=plan | {"learning_rate": 0.03}), tmp_path / "out")
    told = open_adapter(folder).manifest
    measured = [loss for _, held_out, loss, _ in curve(folder) if held_out]

    assert told.steps < told.config.train.epochs * 5
    assert told.held_out_loss == min(measured) < measured[-1]


# Kills and resumptions


def test_a_killed_training_goes_on_with_the_same_loss_curve(base: Path, tmp_path: Path) -> None:
    config = write_training(tmp_path, base, train={"save_every": 2, "neftune": 5.0})
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert alone([config, whole]).returncode == 0

    killed = alone([config, cut, "--kill-at", "8"])

    assert killed.returncode == -signal.SIGKILL and not (cut / "manifest.json").exists()
    assert sorted(path.name for path in cut.glob("checkpoint-*")) == ["checkpoint-4", "checkpoint-6"]
    refuse_pickles(cut)
    with pytest.raises(TrainingError, match=f"--resume --out {cut}` finishes it"):
        open_adapter(cut)
    before = curve(cut)
    assert before[-1][0] == 8

    resumed = alone([config, cut, "--resume"])

    assert resumed.returncode == 0, resumed.stderr
    assert curve(cut) == curve(whole) and curve(whole)[: len(before)] == before
    assert sorted(path.name for path in cut.iterdir()) == FILES
    one, other = open_adapter(cut).manifest, open_adapter(whole).manifest
    assert (one.digest, one.tokens, one.steps, one.loss) == (
        other.digest,
        other.tokens,
        other.steps,
        other.loss,
    )


@pytest.fixture
def cut(base: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A config, and the folder of its training, broken off at step 3 with a checkpoint of step 2."""

    class Stops(Watched):
        def step(self, step: int, loss: float, tokens: int, tokens_per_s: float) -> None:
            if step == 3:
                raise KeyboardInterrupt

    config = write_training(tmp_path, base, train={"save_every": 2, "epochs": 1})
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "out", progress=Stops())
    assert (tmp_path / "out" / "checkpoint-2").is_dir()
    return config, tmp_path / "out"


def test_the_newest_unfinished_training_of_the_name_is_found(
    cut: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, folder = cut
    target = config.parent / "reports" / "adapters" / "small" / "20260101-000000"
    target.parent.mkdir(parents=True)
    folder.rename(target)
    monkeypatch.chdir(config.parent)

    assert run(config, None, resume=True) == target.relative_to(config.parent)
    assert "there is no unfinished training of small" in refusal(config, None, resume=True)


def test_a_resumption_on_other_data_is_refused(cut: tuple[Path, Path]) -> None:
    config, folder = cut
    data = config.parent / "examples.jsonl"
    data.write_text(data.read_text().replace("times", "Times", 1))

    assert "something else is asked now: the bytes of the data file" in refusal(config, folder, resume=True)


def test_a_resumption_with_another_config_is_refused_and_the_fields_are_named(cut: tuple[Path, Path]) -> None:
    config, folder = cut
    config.write_text(config.read_text().replace("rank: 4", "rank: 8").replace("epochs: 1", "epochs: 3"))

    found = refusal(config, folder, resume=True)

    assert "lora.rank in the config, train.epochs in the config" in found


def test_a_resumption_on_another_base_is_refused(cut: tuple[Path, Path], base: Path) -> None:
    config, folder = cut
    other = shutil.copytree(base, config.parent / "base")
    change_json(other / "config.json", rms_norm_eps=1e-4)
    config.write_text(config.read_text().replace(str(base), str(other)))

    assert "the base's files" in refusal(config, folder, resume=True)


def test_a_resumption_with_another_system_message_is_refused(base: Path, tmp_path: Path) -> None:
    class Stops(Watched):
        def step(self, step: int, loss: float, tokens: int, tokens_per_s: float) -> None:
            raise KeyboardInterrupt

    config = write_training(tmp_path, base, task="colours")
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "out", progress=Stops())
    task = tmp_path / "golden" / "colours" / "task.yaml"
    task.write_text(task.read_text() + "system: Answer as a pirate would.\n")

    found = refusal(config, tmp_path / "out", resume=True)

    assert "something else is asked now: the examples' tokens (the task's system message" in found


def test_a_manifest_that_cannot_be_written_leaves_the_checkpoints(base: Path, tmp_path: Path) -> None:
    class InTheWay(Watched):
        def step(self, step: int, loss: float, tokens: int, tokens_per_s: float) -> None:
            super().step(step, loss, tokens, tokens_per_s)
            if step == self.total:
                (tmp_path / "out" / "manifest.json").mkdir()

    config = write_training(tmp_path, base, train={"save_every": 2, "epochs": 1})
    first = InTheWay()

    assert "cannot be written: " in refusal(config, tmp_path / "out", progress=first)

    (tmp_path / "out" / "manifest.json").rmdir()
    after = Watched()
    run(config, tmp_path / "out", resume=True, progress=after)
    assert [step for step, _, _ in after.steps] == [first.total - 1, first.total]  # from checkpoint-4 on
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES


def test_a_pickle_that_comes_while_training_is_refused_and_leaves_the_checkpoints(
    base: Path, tmp_path: Path
) -> None:
    class Drops(Watched):
        def step(self, step: int, loss: float, tokens: int, tokens_per_s: float) -> None:
            super().step(step, loss, tokens, tokens_per_s)
            (tmp_path / "out" / "training_args.bin").write_bytes(pickle.dumps({"a": 1}))

    config = write_training(tmp_path, base, train={"save_every": 2, "epochs": 1})
    first = Drops()

    assert "holds pickled files (training_args.bin)" in refusal(config, tmp_path / "out", progress=first)

    (tmp_path / "out" / "training_args.bin").unlink()
    after = Watched()
    run(config, tmp_path / "out", resume=True, progress=after)
    assert [step for step, _, _ in after.steps] == [first.total - 1, first.total]  # from checkpoint-4 on


def test_a_pickle_beside_the_checkpoints_is_refused_before_a_step(cut: tuple[Path, Path]) -> None:
    config, folder = cut
    (folder / "training_args.bin").write_bytes(pickle.dumps({"a": 1}))
    progress = Watched()

    found = refusal(config, folder, resume=True, progress=progress)

    assert "holds pickled files (training_args.bin)" in found and progress.steps == []
    assert (folder / "checkpoint-2").is_dir()


def test_a_training_that_was_killed_at_its_early_stop_takes_no_further_step(
    base: Path, tmp_path: Path
) -> None:
    plan = {"early_stop": 1, "evaluate_every": 1, "save_every": 1, "epochs": 30, "schedule": "constant"}
    config = write_training(tmp_path, base, train=plan | {"learning_rate": 0.03})
    whole = run(config, tmp_path / "whole")
    stopped = open_adapter(whole).manifest

    class InTheWay(Watched):
        def end(self) -> None:
            (tmp_path / "cut" / "manifest.json").mkdir()

    assert "cannot be written: " in refusal(config, tmp_path / "cut", progress=InTheWay())
    (tmp_path / "cut" / "manifest.json").rmdir()
    after = Watched()
    told = open_adapter(run(config, tmp_path / "cut", resume=True, progress=after)).manifest

    assert after.steps == []
    assert (told.steps, told.digest, told.loss, told.held_out_loss, told.tokens) == (
        stopped.steps,
        stopped.digest,
        stopped.loss,
        stopped.held_out_loss,
        stopped.tokens,
    )


def test_a_pickle_in_a_checkpoint_is_refused(cut: tuple[Path, Path]) -> None:
    config, folder = cut
    (folder / "checkpoint-2" / "optimizer.pt").write_bytes(pickle.dumps({"a": 1}))

    assert "holds pickled files (checkpoint-2/optimizer.pt)" in refusal(config, folder, resume=True)


@pytest.mark.parametrize(
    "file",
    [
        "optimizer.safetensors",
        "adapter_model.safetensors",
        "state.json",
        "random-0.json",
        "counts.json",
        "trainer_state.json",
    ],
)
def test_a_damaged_checkpoint_is_told(cut: tuple[Path, Path], file: str) -> None:
    config, folder = cut
    path = folder / "checkpoint-2" / file
    path.write_bytes(path.read_bytes()[:20])

    assert f"the checkpoint {folder / 'checkpoint-2'} is damaged" in refusal(config, folder, resume=True)


def test_what_a_kill_left_of_a_checkpoint_is_not_taken_for_one(cut: tuple[Path, Path]) -> None:
    config, folder = cut
    (folder / ".checkpoint-3.partial").mkdir()

    assert run(config, folder, resume=True) == folder
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_a_complete_training_is_not_gone_on_with(trained: tuple[Path, Watched]) -> None:
    folder, _ = trained

    assert "is complete: there is nothing to go on with" in refusal(
        folder.parent / "train.yaml", folder, resume=True
    )


def test_a_folder_that_holds_something_is_not_trained_in(trained: tuple[Path, Watched]) -> None:
    folder, _ = trained

    assert "is not empty: a training begins in a folder of its own" in refusal(
        folder.parent / "train.yaml", folder
    )


def test_a_resumption_of_nothing_is_refused(base: Path, tmp_path: Path) -> None:
    config = write_training(tmp_path, base)

    assert "there is no unfinished training in" in refusal(config, tmp_path / "out", resume=True)


# Mistakes in data and config


def test_data_that_holds_a_golden_case_is_refused_unless_there_is_a_reason(
    base: Path, tmp_path: Path
) -> None:
    config = write_training(tmp_path, base, train={"max_steps": 1})
    with (tmp_path / "examples.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "The sky above us.", "completion": "blue"}) + "\n")

    found = refusal(config, tmp_path / "out")

    assert "1 overlap of the training data with golden cases" in found
    assert f"{tmp_path}/examples.jsonl:25: exact overlap with the golden case colours/sky" in found
    assert not (tmp_path / "out").exists()

    config.write_text(config.read_text() + "allow_contamination: a trial of the check itself\n")
    told = open_adapter(run(config, tmp_path / "out")).manifest
    assert (told.data.overlaps, told.data.allowed) == (1, "a trial of the check itself")


def test_a_line_of_the_data_that_is_wrong_is_told(base: Path, tmp_path: Path) -> None:
    config = write_training(tmp_path, base)
    (tmp_path / "examples.jsonl").write_text('{"prompt": "x"}\n')

    with pytest.raises(DataError, match=r"examples\.jsonl:1"):
        run(config, tmp_path / "out")


def test_a_task_that_is_not_there_is_told(base: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"there is no task 'sums' in .*; there are: colours"):
        run(write_training(tmp_path, base, task="sums"), tmp_path / "out")


def test_an_empty_completion_is_refused_with_its_line(base: Path, tmp_path: Path) -> None:
    config = write_training(tmp_path, base)
    with (tmp_path / "examples.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "Say nothing.", "completion": " \n"}) + "\n")

    found = refusal(config, tmp_path / "out")

    assert f"{tmp_path}/examples.jsonl: the completion is empty in line 25:" in found
    assert not (tmp_path / "out").exists()


def test_an_example_beyond_the_base_s_context_is_told_with_both_lengths(base: Path, tmp_path: Path) -> None:
    short = shutil.copytree(base, tmp_path / "short")
    change_json(short / "config.json", max_position_embeddings=64)
    config = write_training(tmp_path, short)

    found = refusal(config, tmp_path / "out")

    assert re.search(
        rf"examples\.jsonl:\d+: the example takes \d\d tokens, and the context of {short} is 64; lower max_length to 64",
        found,
    )
    config.write_text(config.read_text().replace("max_length: 128", "max_length: 64") + "\n")
    assert run(config, tmp_path / "out").is_dir()


def test_data_of_which_nothing_fits_is_told(base: Path, tmp_path: Path) -> None:
    config = write_training(tmp_path, base, max_length=64)
    (tmp_path / "examples.jsonl").write_text(json.dumps({"prompt": "x", "completion": "y" * 100}) + "\n")

    assert "none of the 1 examples of" in refusal(config, tmp_path / "out")


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (["q_proj", "query"], "have no module query; they have"),
        (["lm_head"], "have no module lm_head; they have"),
        (["embed_tokens"], "have no module embed_tokens; they have"),
    ],
)
def test_targets_that_cannot_be_trained_are_told(
    base: Path, tmp_path: Path, targets: list[str], said: str
) -> None:
    config = write_training(tmp_path, base, lora={"targets": targets})

    assert said in refusal(config, tmp_path / "out")


@pytest.mark.parametrize(("method", "package"), [("qlora", "bitsandbytes"), ("hqq", "hqq")])
def test_a_method_whose_package_is_not_there_is_told(
    base: Path, tmp_path: Path, method: str, package: str
) -> None:
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    found = refusal(write_training(tmp_path, base, train={"method": method}), tmp_path / "out")

    assert f"train.method {method} needs the package {package}" in found and f"pip install {package}" in found


def test_a_loss_that_is_no_number_leaves_nothing_that_looks_complete(base: Path, tmp_path: Path) -> None:
    plan = {"learning_rate": 1e20, "save_every": 1, "warmup": 0.3}
    found = refusal(write_training(tmp_path, base, train=plan), tmp_path / "out")

    assert "training cannot go on from there. The checkpoint of step" in found
    assert not (tmp_path / "out" / "manifest.json").exists() and list((tmp_path / "out").glob("checkpoint-*"))
    assert all(abs(loss) < float("inf") for _, _, loss, _ in curve(tmp_path / "out"))


# The machine


def test_a_full_disk_is_told_and_leaves_nothing_that_looks_complete(base: Path, tmp_path: Path) -> None:
    config = write_training(tmp_path, base, train={"save_every": 1})
    small = tmp_path / "small"
    small.mkdir()
    with MountSpace() as space:
        space.do("mount", "-t", "tmpfs", "-o", "size=150k", "full", str(small))
        done = alone([config, small / "out"], before=space.prefix(ROOT))
        left = sorted(path.name for path in space.seen(small / "out").iterdir())

    assert done.returncode == 1
    assert done.stderr.startswith("ERROR: ") or "\nERROR: " in done.stderr
    assert "cannot be written: " in done.stderr and "Make room, then go on with --resume" in done.stderr
    assert "Traceback" not in done.stderr
    assert "manifest.json" not in left


def test_a_folder_that_cannot_be_made_is_told(base: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert "no training can be written to" in refusal(
        write_training(tmp_path, base), tmp_path / "file" / "out"
    )


@pytest.mark.slow
def test_two_processes_train_one_adapter_and_go_on_after_a_kill(base: Path, tmp_path: Path) -> None:
    config = write_training(tmp_path, base, train={"save_every": 2})
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]

    def both(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*launch, "tests.training.small_training", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=400,
        )

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done = both(config, whole)
    assert done.returncode == 0, done.stderr[-3000:]
    assert open_adapter(whole).manifest.steps == 6  # 20 or 21 examples, 2 x 2 x 2 a step, 2 epochs

    assert both(config, cut, "--kill-at", "5").returncode != 0
    assert both(config, cut, "--resume").returncode == 0
    assert curve(cut) == curve(whole)
    assert "the number of processes (2, now 1)" in _changed_processes(config, cut)


def _changed_processes(config: Path, folder: Path) -> str:
    (folder / "manifest.json").unlink()
    started = {
        "format": 1,
        "data": "d",
        "base": "b",
        "examples": "x",
        "method": "fp32",
        "processes": 2,
        "created": "",
    }
    written = started | {"config": read_config(config).model_dump()}
    (folder / "started.json").write_text(json.dumps(written))
    return refusal(config, folder, resume=True)


@pytest.mark.slow
def test_the_real_default_base_learns_in_a_few_steps(tmp_path: Path) -> None:
    config = write_training(
        tmp_path, Path("gguf:smollm2-135m"), lora={"rank": 8}, train={"max_steps": 6, "learning_rate": 1e-3}
    )
    folder = run(config, tmp_path / "out")
    losses = [loss for _, held_out, loss, _ in curve(folder) if not held_out]
    told = open_adapter(folder).manifest

    assert losses[-1] < 0.7 * losses[0]
    assert told.base.name == "gguf:smollm2-135m" and told.base.revision and told.parameters == 134_515_008
