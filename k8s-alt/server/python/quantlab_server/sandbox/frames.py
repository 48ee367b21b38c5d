"""What parent and child say to each other: frames of bytes, a length before each."""

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from quantlab.qls import ir, limits
from quantlab.qls.native import abi

FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
_LENGTH: Final = struct.Struct("<I")
_RESULT: Final = struct.Struct("<qq")
_WORD: Final = 8
SPEC_ENDS: Final = (
    len(ir.ORDER_VERBS), limits.SYMBOLS_MAX, len(ir.ORDER_TYPES), len(ir.TIMES),
    len(ir.SIZE_UNITS), 2 * ir.OUO_GROUP, limits.INSTRUCTIONS_MAX, limits.INSTRUCTIONS_MAX,
)  # fmt: skip


class Broken(Exception):
    """The other side said what it may not say, or nothing more."""


def send(write: Callable[[memoryview], int], payload: bytes) -> None:
    """Write a frame whole; write gives how many bytes it took."""
    data = memoryview(_LENGTH.pack(len(payload)) + payload)
    while data:
        data = data[write(data) :]


def receive(read: Callable[[int], bytes]) -> bytes | None:
    """Read a frame; None where the other side has ended between two. Raises Broken."""
    head = _exactly(read, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > FRAME_BYTES_MAX:
        raise Broken(f"a frame of {length} bytes; at most {FRAME_BYTES_MAX} are allowed")
    payload = _exactly(read, length) if length else b""
    if payload is None:
        raise Broken("a frame was cut short")
    return payload


def _exactly(read: Callable[[int], bytes], count: int) -> bytes | None:
    parts: list[bytes] = []
    missing = count
    while missing:
        part = read(missing)
        if not part:
            if parts:
                raise Broken("a frame was cut short")
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def pack_event(handlers: Sequence[int], reads: memoryview) -> bytes:
    """Return an event: the handlers to run, by index, and every word of reads."""
    return struct.pack(f"<H{len(handlers)}H", len(handlers), *handlers) + reads


def unpack_event(payload: bytes) -> tuple[tuple[int, ...], bytes]:
    """Return the handlers and the words of reads of an event."""
    (count,) = struct.unpack_from("<H", payload)
    return struct.unpack_from(f"<{count}H", payload, 2), payload[2 + 2 * count :]


def pack_result(trap: str, fuel_used: int, out: memoryview) -> bytes:
    """Return what an event did: its trap, the fuel so far, and the used part of the block `out`."""
    ints = out.cast("q")
    orders = abi.ORDERS_AT + ints[abi.ORDERS] * ir.ORDER_WORDS
    outputs = abi.OUTPUTS_AT + ints[abi.OUTPUTS] * abi.OUTPUT_WORDS
    return b"".join(
        (
            _RESULT.pack(abi.TRAPS.index(trap), fuel_used),
            out[: orders * _WORD],
            out[abi.OUTPUTS_AT * _WORD : outputs * _WORD],
        )
    )


def unpack_result(
    payload: bytes, sites: Sequence[abi.OutputSite], out: memoryview
) -> tuple[str, int]:
    """Write an event's result into a block `out`; return its trap and the fuel. Raises Broken.

    The sender may be anything by now: every count and index is checked before it is used.
    """
    head = _RESULT.size + abi.HEADER_WORDS * _WORD
    if len(payload) < head:
        raise Broken("a result was cut short")
    code, fuel_used = _RESULT.unpack_from(payload)
    out[: abi.HEADER_WORDS * _WORD] = payload[_RESULT.size : head]
    ints = out.cast("q")
    orders, outputs = ints[abi.ORDERS], ints[abi.OUTPUTS]
    if not 0 <= code < len(abi.TRAPS) or fuel_used < 0:
        raise Broken("a result has an unknown trap")
    if not 0 <= orders <= limits.ORDERS_PER_EVENT_MAX or not orders <= ints[abi.PLACED]:
        raise Broken("a result has an impossible number of orders")
    if not 0 <= outputs <= limits.OUTPUTS_PER_EVENT_MAX:
        raise Broken("a result has an impossible number of outputs")
    middle = head + orders * ir.ORDER_WORDS * _WORD
    if len(payload) != middle + outputs * abi.OUTPUT_WORDS * _WORD:
        raise Broken("a result has the wrong length")
    first = abi.ORDERS_AT * _WORD
    out[first : first + middle - head] = payload[head:middle]
    first = abi.OUTPUTS_AT * _WORD
    out[first : first + len(payload) - middle] = payload[middle:]
    _check_records(ints, len(sites))
    return abi.TRAPS[code], fuel_used


def _check_records(ints: Any, sites: int) -> None:
    for place in range(ints[abi.ORDERS]):
        at = abi.ORDERS_AT + place * ir.ORDER_WORDS
        spec = ints[at : at + len(SPEC_ENDS)]
        lows = (0,) * (len(SPEC_ENDS) - 1) + (-1,)
        if not all(low <= word < end for low, word, end in zip(lows, spec, SPEC_ENDS, strict=True)):
            raise Broken("an order has terms that do not exist")
    for place in range(ints[abi.OUTPUTS]):
        if not 0 <= ints[abi.OUTPUTS_AT + place * abi.OUTPUT_WORDS] < sites:
            raise Broken("an output is none of the program's")
