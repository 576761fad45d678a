"""Memory of real processes, and GPUs through a library that plays NVML."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from evals.resources import Gpus, Meter, Used, listening_on, open_gpus, process_of, resident_bytes
from tests.real_ollama import c_compiler

MEGABYTE = 1_000_000
# Two cards of which the counters go up by 3 J at each look, and the memory by 1 MB.
NVML = """\
typedef struct { unsigned long long total, free, used; } memory_t;
static unsigned long long looked = 0, used = 500;
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = &looked + index; return 0; }
int nvmlDeviceGetMemoryInfo(void *device, memory_t *memory) { memory->used = 1000000 * used++; return 0; }
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy) {
    *energy = 3000 * looked++;
    return ENERGY_STATUS;
}
"""
LOOK_TWICE = """\
import json
from evals.resources import Meter, open_gpus
with open_gpus() as gpus:
    meter = Meter(lambda: None, gpus)
    for _ in range(2):
        with meter:
            pass
    print(json.dumps([meter.gpu_memory_bytes, meter.energy_j]))
"""


def looked_twice(folder: Path, status: int) -> list[float | None]:
    """Peak of GPU memory and energy over two short times, where NVML answers `status` when asked for energy."""
    compiler = c_compiler()
    if compiler is None:
        pytest.skip("there is no C compiler to build what plays NVML")
    source = folder / "nvml.c"
    source.write_text(NVML)
    library = folder / "libnvidia-ml.so.1"
    flags = [f"-DENERGY_STATUS={status}", "-shared", "-fPIC", "-o", str(library)]
    subprocess.run([compiler, *flags, str(source)], check=True)
    done = subprocess.run(
        [sys.executable, "-c", LOOK_TWICE],
        env={**os.environ, "LD_LIBRARY_PATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: list[float | None] = json.loads(done.stdout)
    return found


def test_a_process_and_what_it_started_count_together() -> None:
    hold = "import sys; kept = bytearray(60_000_000); print(flush=True); sys.stdin.read()"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout
        process.stdout.readline()  # the child holds its memory now
        alone = psutil.Process(process.pid).memory_info().rss
        together = resident_bytes(process_of(process.pid))
        process.stdin.close()
    assert together is not None
    assert together > alone + 60 * MEGABYTE


def test_a_process_that_is_gone_has_no_memory() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        seen = process_of(process.pid)
    assert resident_bytes(seen) is None
    assert process_of(process.pid) == []


def test_the_owner_of_a_port_is_found_and_nobody_where_none_listens() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        assert listening_on(port) == []
        listening.listen()
        assert [one.pid for one in listening_on(port)] == [os.getpid()]


def test_a_meter_keeps_the_peak_and_not_the_last_reading() -> None:
    readings = iter([50, 300, None, 100])
    meter = Meter(lambda: next(readings), Gpus())
    for _ in range(4):
        with meter:
            pass
    assert meter.memory_bytes == 300
    assert Used(meter.memory_bytes).gpu_memory_bytes is None


def test_without_a_gpu_nothing_is_told() -> None:
    meter = Meter(lambda: 1, Gpus())
    with meter:
        pass
    assert (meter.gpu_memory_bytes, meter.energy_j) == (None, None)


def test_a_machine_without_a_driver_has_no_gpus(tmp_path: Path) -> None:
    # A file of that name that is no library: what is found is no driver, wherever this runs.
    (tmp_path / "libnvidia-ml.so.1").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", LOOK_TWICE],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout) == [None, None] or _has_driver()


def _has_driver() -> bool:
    with open_gpus() as gpus:
        return gpus.memory_bytes() is not None


def test_memory_and_energy_of_all_cards_are_added(tmp_path: Path) -> None:
    memory, energy = looked_twice(tmp_path, 0)
    # At the second look the cards use 502 MB and 503 MB. From one look to the next each counts 6 J more, twice.
    assert memory == 1005 * MEGABYTE
    assert energy == 24.0


def test_cards_that_count_no_energy_still_tell_their_memory(tmp_path: Path) -> None:
    not_supported = 3
    memory, energy = looked_twice(tmp_path, not_supported)
    assert memory == 1005 * MEGABYTE
    assert energy is None
