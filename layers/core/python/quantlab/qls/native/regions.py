"""Which state words never overlap: each ring, each history's values, and all other words."""

from collections.abc import Mapping
from typing import Final

from quantlab.qls.ir import Program
from quantlab.qls.native import abi

_FIRST: Final = 1
"""The number of the first metadata node; !0 is the weight of rare branches."""
_RANGES: Final = 1_000_000
"""That of the first range of an input."""


def regions(program: Program) -> tuple[tuple[int, int], ...]:
    """Return (first word, words) of each ring and each history's values, ascending.

    Raises ValueError where two overlap, or one overlaps a word with a fixed place: the compiler of
    strategies never lays out a state like that, and optimised code would be wrong.
    """
    found: set[tuple[int, int]] = set()
    fixed: set[int] = set()
    for handler in program.handlers:
        for ins in abi.instructions(handler.body):
            if ins.op in {"rget", "rput"}:
                found.add(ins.imm)
            elif ins.op in {"hpush", "hget"}:
                fixed.add(ins.imm[0])
                found.add(ins.imm[1:])
            elif ins.op in {"load", "store"}:
                fixed.add(ins.imm)
    ordered = sorted(found)
    end = 0
    for first, words in ordered:
        if first < end or not fixed.isdisjoint(range(first, first + words)):
            raise ValueError(f"state word {first}: expected a ring of its own, was shared")
        end = first + words
    return tuple(ordered)


def tags_of(program: Program) -> tuple[Mapping[int, str], str]:
    """Return what accesses are marked with, by the first word of a region, and its metadata.

    The marks are LLVM's type-based alias analysis with a type for each region; -1 is for the words
    with fixed places.
    """
    lines = [f'!{_FIRST} = !{{!"QLS state"}}']
    tags = {}
    places = (-1, *(first for first, _ in regions(program)))
    for number, place in enumerate(places):
        kind = _FIRST + 1 + 2 * number
        tag = kind + 1
        lines.append(f'!{kind} = !{{!"words {place}", !{_FIRST}}}')
        lines.append(f"!{tag} = !{{!{kind}, !{kind}, i64 0}}")
        tags[place] = f", !tbaa !{tag}"
    return tags, "\n".join(lines)


def ranges_of(program: Program) -> tuple[Mapping[int, str], str]:
    """Return what loads of integer inputs are marked with, by their word, and its metadata.

    The host has held them to their least and greatest value.
    """
    marks, lines = {}, []
    for number, known in enumerate(program.inputs, _RANGES):
        if known.kind == "int" and known.low is not None and known.high is not None:
            lines.append(f"!{number} = !{{i64 {int(known.low)}, i64 {int(known.high) + 1}}}")
            marks[known.word] = f", !range !{number}"
    return marks, "\n".join(lines)
