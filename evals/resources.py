"""What answering takes beside time: memory of processes, memory and energy of GPUs; None where it cannot be told.

Memory is read five times a second while requests are under way, and its peak is kept. Energy is the difference of
the GPUs' own counters (NVML, NVIDIA's cards from Volta on), which count whatever uses the card.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

EVERY_S = 0.2
# These listen on behalf of a server elsewhere: their own memory says nothing of it.
FORWARDERS = ("docker", "rootlessport", "slirp4netns", "pasta", "ssh", "wslrelay")


@dataclass(frozen=True, slots=True)
class Used:
    """Peaks over some requests, in bytes, and the GPUs' energy in joules. `memory_of` says whose memory it is."""

    memory_bytes: int | None = None
    memory_of: str = ""
    gpu_memory_bytes: int | None = None
    energy_j: float | None = None


def resident_bytes(processes: Sequence[psutil.Process]) -> int | None:
    """Resident memory of the processes and all that they started; None if none can be seen.

    Pages that two of them share (a model file that both map) count for each.
    """
    seen: dict[int, int] = {}
    for process in processes:
        with contextlib.suppress(psutil.Error):
            for one in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    seen[one.pid] = one.memory_info().rss
    return sum(seen.values()) if seen else None


def process_of(pid: int) -> list[psutil.Process]:
    """The process of that id, or none."""
    try:
        return [psutil.Process(pid)]
    except psutil.Error:
        return []


def listening_on(port: int) -> list[psutil.Process]:
    """The processes of this machine that listen on a TCP port, as far as we may see them.

    Forwarders (Docker, ssh) are left out. Other users' processes are seen only by root.
    """
    found: list[psutil.Process] = []
    try:
        listening = [one for one in psutil.net_connections(kind="tcp") if one.status == psutil.CONN_LISTEN]
    except psutil.Error:
        return found  # macOS shows other processes' connections to root only
    for pid in sorted({one.pid for one in listening if one.pid and one.laddr and one.laddr.port == port}):
        for process in process_of(pid):
            with contextlib.suppress(psutil.Error):
                if not any(name in process.name().lower() for name in FORWARDERS):
                    found.append(process)
    return found


class Gpus:
    """The NVIDIA GPUs of this machine, through NVML. All figures are over all of them and whatever uses them."""

    def __init__(self, nvml: Any = None, devices: Sequence[Any] = ()) -> None:
        self._nvml = nvml
        self._devices = devices

    def memory_bytes(self) -> int | None:
        """Memory in use; None without GPUs."""
        return self._sum(lambda device: self._nvml.nvmlDeviceGetMemoryInfo(device).used)

    def energy_j(self) -> float | None:
        """Energy since the driver was loaded; None where a GPU does not count it."""
        millijoules = self._sum(lambda device: self._nvml.nvmlDeviceGetTotalEnergyConsumption(device))
        return None if millijoules is None else millijoules / 1000

    def _sum(self, read: Callable[[Any], int]) -> int | None:
        if not self._devices:
            return None
        try:
            return sum(read(device) for device in self._devices)
        except self._nvml.NVMLError:
            return None


@contextmanager
def open_gpus() -> Iterator[Gpus]:
    """The GPUs, for as long as the context lasts; none where there is no driver."""
    import pynvml  # type: ignore[import-untyped]

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield Gpus()
        return
    try:
        devices = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        devices = []
    try:
        yield Gpus(pynvml, devices)
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


class Meter:
    """Peaks of memory and the sum of energy over the times spent inside `with meter:`."""

    def __init__(self, memory_bytes: Callable[[], int | None], gpus: Gpus) -> None:
        self._memory = memory_bytes
        self._gpus = gpus
        self.memory_bytes: int | None = None
        self.gpu_memory_bytes: int | None = None
        self.energy_j: float | None = None
        self._energy_before: float | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> None:
        self._stop.clear()
        self._energy_before = self._gpus.energy_j()
        self._thread = threading.Thread(target=self._watch, name="meter", daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        self._stop.set()
        self._thread.join()
        self._look()
        after = self._gpus.energy_j()
        if after is not None and self._energy_before is not None:
            self.energy_j = (self.energy_j or 0.0) + after - self._energy_before

    def _watch(self) -> None:
        while not self._stop.wait(EVERY_S):
            self._look()

    def _look(self) -> None:
        self.memory_bytes = _larger(self.memory_bytes, self._memory())
        self.gpu_memory_bytes = _larger(self.gpu_memory_bytes, self._gpus.memory_bytes())


def _larger(one: int | None, other: int | None) -> int | None:
    told = [value for value in (one, other) if value is not None]
    return max(told, default=None)
