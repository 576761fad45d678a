"""A config becomes an adapter: data and base are looked at, the adapter is trained, its manifest is written last.

Under `accelerate launch` each process runs all of this; the main one alone writes and talks.
"""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.backends.hugging_face_folder import ADAPTER_WEIGHTS, model_weights
from evals.errors import TrainingError, first_line
from evals.journal import Journal
from evals.runs import write_whole
from evals.surroundings import git_state, versions
from evals.surroundings import host as machine
from training.adapter_folder import (
    ADAPTERS,
    STARTED,
    LossLine,
    Started,
    begin,
    new_name,
    open_losses,
    read_losses,
    refuse_changes,
    unfinished,
)
from training.bases import Base, open_base
from training.checkpoints import keep_only, latest_checkpoint, remove_partial
from training.config import TrainConfig
from training.loss_curve import LossPoint, loss_svg
from training.manifest import BaseFacts, DataFacts, Manifest, adapter_digest, weight_problems, write_manifest
from training.material import Material, prepare
from training.memory import (
    free_bytes,
    free_ollama,
    is_out_of_memory,
    least_bytes,
    out_of_memory,
    refuse_too_large,
    refuse_unknown_targets,
    weight_shapes,
)
from training.methods import Way, load_base, settle
from training.model_card import write_model_card
from training.no_pickle import refuse_pickles
from training.registry import Registry

if TYPE_CHECKING:
    from accelerate import PartialState  # type: ignore[import-untyped]

    from training.progress import Progress
    from training.trainer import AdapterTrainer, Step

LOSS_CURVE = "loss.svg"
_PACKAGES = ("torch", "transformers", "peft", "trl", "accelerate", "safetensors", "bitsandbytes", "hqq")


def train(
    config: TrainConfig,
    *,
    golden: Path,
    out: Path | None,
    resume: bool,
    host: str | None,
    progress: Progress,
    adapters: Path = ADAPTERS,
) -> Path:
    """Train an adapter; returns its folder: `out`, or one of its name and the time in `adapters`.

    With `resume` an unfinished training in `out`, or the newest of that name, goes on from its last checkpoint, with the
    losses that it would have had without the break. `host` is the Ollama that is asked to free its memory.

    Raises `TrainingError`, `DataError`, `GoldenError` and `SettingsError`. What was trained until then stays in its
    checkpoints.
    """
    import torch
    from accelerate import PartialState

    since = time.perf_counter()
    # Several processes without a GPU are only seen as several if it is said that there is none.
    processes = PartialState(cpu=not torch.accelerator.is_available())
    way = settle(config.train.method)
    with processes.main_process_first():  # a base that has to be fetched is fetched once
        base = open_base(config.base)
    material = prepare(config, base, golden)
    shapes = weight_shapes(model_weights(base.folder))
    refuse_unknown_targets(shapes, config.lora)
    if processes.is_main_process:
        free_ollama(Registry(host))
        refuse_too_large(least_bytes(shapes, way.bytes_per_weight, config.lora), *free_bytes())
    started = Started(
        config=config,
        data=material.dataset.sha256,
        base=base.digest,
        examples=material.digest,
        method=way.method,
        processes=processes.num_processes,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    folder = out or _folder(config.name, adapters, resume, processes)
    if resume:
        refuse_changes(folder, started)
        refuse_pickles(folder)
    elif processes.is_main_process:
        begin(folder, started)
    processes.wait_for_everyone()
    with _faults_in_words(folder):
        _train(config, folder, base, way, material, processes, progress, since)
    if processes.num_processes > 1:
        # One that ends while another still listens to it would take that one down with it.
        processes.wait_for_everyone()
        processes.destroy_process_group()
    return folder


def _folder(name: str, adapters: Path, resume: bool, processes: PartialState) -> Path:
    """The adapter's folder: the same for all processes, though each has its own clock."""
    if resume:
        return unfinished(name, adapters)
    import torch
    from accelerate.utils import broadcast  # type: ignore[import-untyped]

    day, _, second = new_name(name, adapters).partition("-")
    agreed = broadcast(torch.tensor([int(day), int(second)], device=processes.device)).tolist()
    return adapters / name / f"{agreed[0]:08}-{agreed[1]:06}"


def _train(
    config: TrainConfig,
    folder: Path,
    base: Base,
    way: Way,
    material: Material,
    processes: PartialState,
    progress: Progress,
    since: float,
) -> None:
    import transformers

    from training.trainer import AdapterTrainer

    # What it warns of is either an error of ours, or of no use to who trains.
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    checkpoint = latest_checkpoint(folder)
    step = int(checkpoint.name.partition("-")[2]) if checkpoint else 0
    main = processes.is_main_process
    if main:
        remove_partial(folder)
    losses = open_losses(folder, step) if main else None
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
        base.folder, local_files_only=True, trust_remote_code=False
    )
    if main:
        tokenizer.save_pretrained(folder)
    model = load_base(base, way, processes.local_process_index)
    parameters = int(model.num_parameters())

    def told(one: Step) -> None:
        if losses is not None:
            _note(losses, one, folder)
            if not one.held_out:
                progress.step(one.step, one.loss, one.counts.tokens, one.counts.tokens_per_s)

    try:
        trainer = AdapterTrainer(
            model,
            tokenizer,
            config,
            folder,
            train=material.train,
            held_out=material.held_out,
            bf16=way.bf16,
            began=progress.begin if main else lambda _: None,
            told=told,
            since=since,
        )
    except ValueError as error:
        raise TrainingError(f"this adapter cannot be trained on {base.name}: {first_line(error)}") from error
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        if losses is not None:
            losses.close()
            progress.end()
    held_out_loss = trainer.keep_best()
    if main:
        _finish(config, folder, base, way, material, trainer, parameters, held_out_loss)


def _note(losses: Journal, one: Step, folder: Path) -> None:
    line = LossLine(
        one.step, one.loss, one.held_out, one.learning_rate, one.counts.tokens, one.counts.seconds
    )
    losses.add(asdict(line))
    if losses.problem:
        raise OSError(errno.ENOSPC, losses.problem, str(folder))


def _finish(
    config: TrainConfig,
    folder: Path,
    base: Base,
    way: Way,
    material: Material,
    trainer: AdapterTrainer,
    parameters: int,
    held_out_loss: float | None,
) -> None:
    """Write the adapter and all that belongs to it, the manifest last; then what only a resumption needs is removed."""
    settings = trainer.save_adapter(folder)
    trainable = trainer.trainable
    if problems := list(weight_problems(folder / ADAPTER_WEIGHTS, settings, trainable)):
        raise TrainingError(f"the adapter in {folder} came out damaged: {problems[0]}; train anew")
    lines = read_losses(folder)
    points = [LossPoint(line.step, line.loss, line.held_out) for line in lines]
    write_whole(folder / LOSS_CURVE, loss_svg(points))
    trained = [line.loss for line in lines if not line.held_out]
    last = trained[-trainer.steps_per_epoch :]
    counts = trainer.counts
    manifest = Manifest(
        name=config.name,
        task=config.task,
        base=BaseFacts(name=base.name, digest=base.digest, revision=base.revision, ollama=config.base_ollama),
        data=DataFacts(
            path=config.data,
            sha256=material.dataset.sha256,
            examples=len(material.train),
            held_out=len(material.held_out),
            skipped=len(material.skipped),
            overlaps=len(material.overlaps),
            allowed=config.allow_contamination if material.overlaps else "",
        ),
        config=config,
        method=way.method,
        versions=versions(*_PACKAGES),
        seed=config.train.seed,
        steps=trainer.state.global_step,
        loss=sum(last) / len(last),
        held_out_loss=held_out_loss,
        tokens=counts.tokens,
        tokens_per_s=counts.tokens_per_s,
        peak_memory_bytes=_peak_bytes(),
        wall_s=counts.wall_s,
        trainable=trainable,
        parameters=parameters,
        git=git_state(Path.cwd()),
        host=machine(),
        digest=adapter_digest(folder),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    write_model_card(folder, manifest)
    # Until the manifest is there, a training that fails here goes on from its last checkpoint.
    refuse_pickles(folder)
    write_manifest(folder, manifest)
    keep_only(folder, set())
    (folder / STARTED).unlink(missing_ok=True)


def _peak_bytes() -> int | None:
    """The most that PyTorch had allocated on the GPU; without one, the process's largest resident size."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def _faults_in_words(folder: Path) -> Iterator[None]:
    """Faults of the machine as `TrainingError`: memory that ran out, a disk that is full or gone."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{folder} cannot be written: {getattr(error, 'strerror', None) or first_line(error)}. What was trained until "
            "the last checkpoint is there, and nothing half-written counts as complete. Make room, then go on with "
            f"--resume --out {folder}"
        ) from error
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise out_of_memory(error) from error
        raise
