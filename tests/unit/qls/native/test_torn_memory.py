"""Code is put together also in a process whose free memory lies gigabytes apart."""

import ctypes
import mmap
import subprocess
import sys

import pytest

from quantlab.qls.native.machine import build

PIECE = 1 << 16
GAP = 3 << 30
STEPS = 10_000


def module_larger_than_a_piece() -> str:
    """Return a module with more than a piece of code, and a constant elsewhere."""
    steps = "\n".join(
        f"%v{k + 1} = xor i64 %v{k}, {0x0123_4567_89AB_CDEF + k}" for k in range(STEPS)
    )
    return f"""
define i64 @steps(i64 %v0, double %number) nounwind {{
{steps}
  %more = fadd double %number, 0.1
  %bits = bitcast double %more to i64
  %result = xor i64 %v{STEPS}, %bits
  ret i64 %result
}}
"""


def result() -> int:
    """Return what the module gives for 7 and 0.2."""
    code = build(module_larger_than_a_piece(), ("steps",))
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_double)
    return int(call(code.addresses["steps"])(7, 0.2))


def expected() -> int:
    value = ctypes.c_int64.from_buffer_copy(ctypes.c_double(0.2 + 0.1)).value ^ 7
    for k in range(STEPS):
        value ^= 0x0123_4567_89AB_CDEF + k
    return value


def tear_memory() -> None:
    """Leave room for a page high up, and for more than a piece only behind a gap."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    nowhere = ctypes.c_void_p(-1).value

    def take(size: int) -> int:
        place: int = libc.mmap(None, size, 0, kind, -1, 0)
        assert place != nowhere, ctypes.get_errno()
        return place

    gap = take(GAP)
    pieces = [take(PIECE)]
    while pieces[-1] > gap:
        pieces.append(take(PIECE))
    assert libc.munmap(pieces[0] + PIECE - mmap.PAGESIZE, mmap.PAGESIZE) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the order of free memory is Linux's")
def test_code_and_its_constants_stay_together() -> None:
    assert result() == expected()
    torn = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=False)
    assert torn.returncode == 0, torn.stderr
    assert int(torn.stdout) == expected()


if __name__ == "__main__":
    tear_memory()
    print(result())
