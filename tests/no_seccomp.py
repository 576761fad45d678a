"""A machine that refuses seccomp filters, for tests: a filter that refuses prctl(PR_SET_SECCOMP), which processes inherit."""

from __future__ import annotations

# To stand before what a `python -c` does.
REFUSE = """
import ctypes, json, platform, struct, sys
prctl = {"x86_64": 157, "aarch64": 167}[platform.machine()]
steps = [(0x20, 0, 0, 0), (0x15, 0, 3, prctl), (0x20, 0, 0, 16), (0x15, 0, 1, 22), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7FFF0000)]
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
program = Program(len(steps), b"".join(struct.pack("=HBBI", *step) for step in steps))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
"""
