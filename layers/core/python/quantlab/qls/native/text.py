"""The lines of one LLVM function, and what all instructions write them with."""

from collections.abc import Mapping
from typing import Any, Final

from quantlab.qls import ir
from quantlab.qls.ir import Handler
from quantlab.qls.native import abi
from quantlab.qls.native.magnitudes import Magnitudes
from quantlab.qls.native.operations import LLVM_TYPES, NAN, ZERO

ZEROS: Final = {"f": ZERO, "i": "0", "b": "false"}
NONE: Final = {"f": NAN, "i": "0", "b": "false"}
_TRAP_CODES: Final = {reason: code for code, reason in enumerate(abi.TRAPS)}


class Text:
    """One function. Register r is `%r<r>` or a constant, local n `%l<n>`, state word w `%s<w>`."""

    def __init__(
        self,
        handler: Handler,
        sites: dict[abi.OutputSite, int],
        tags: Mapping[int, str],
        ranges: Mapping[int, str],
        numbers: frozenset[int],
    ) -> None:
        self.sites = sites
        self.tags = tags
        """By the first word of a ring or a history's values, -1 for all other words: what tells
        LLVM that they never overlap; empty where it is not told."""
        self.ranges = ranges
        """By the word of an input, what LLVM is told of its value."""
        known = frozenset(register for register, read in handler.reads if read in numbers)
        self.magnitudes = Magnitudes(known, handler.consts)
        self.types = handler.types
        self.names = [f"%r{number}" for number in range(len(handler.types))]
        self.first: list[str] = ["entry:"]
        self.lines: list[str] = []
        self.label = "body"
        self.taken = ""
        """The condition under which a flat branch's stores take place; "" outside of one."""
        self._traps: dict[str, None] = {}
        self._words: set[int] = set()
        self._count = 0

    def finished(self) -> str:
        """Return the function's body."""
        traps = (_trap(reason) for reason in self._traps)
        return "\n".join((*self.first, "br label %body", "body:", *self.lines, *traps))

    def fresh(self) -> int:
        """Return a number that no name in this function has."""
        self._count += 1
        return self._count

    def begin(self, label: str) -> None:
        """Begin a basic block."""
        self.label = label
        self.lines.append(f"{label}:")

    def trap_if(self, condition: str, reason: str) -> None:
        """Trap where a condition holds."""
        self._traps[reason] = None
        after = f"n{self.fresh()}"
        self.lines.append(f"br i1 {condition}, label %trap.{reason}, label %{after}, !prof !0")
        self.begin(after)

    def charge(self, cost: int) -> None:
        """Take fuel, and trap where too little is left."""
        number = self.fresh()
        self.lines.append(
            f"%f{number} = load i64, ptr %fuel\n"
            f"%g{number} = sub i64 %f{number}, {cost}\n"
            f"store i64 %g{number}, ptr %fuel\n"
            f"%h{number} = icmp slt i64 %g{number}, 0"
        )
        self.trap_if(f"%h{number}", "fuel")

    def word(self, number: int) -> str:
        """Return the address of a state word."""
        name = f"%s{number}"
        if number not in self._words:
            self._words.add(number)
            self.first.append(f"{name} = getelementptr inbounds i64, ptr %state, i64 {number}")
        return name

    def load_from(self, register: int, at: str, region: int = -1, word: int = -1) -> None:
        """Write a load of a word into a register."""
        tag = self.tags.get(region, "") + self.ranges.get(word, "")
        out, type_ = self.names[register], self.types[register]
        if type_ == "b":
            self.lines.append(f"{out}w = load i64, ptr {at}{tag}\n{out} = icmp ne i64 {out}w, 0")
        else:
            self.lines.append(f"{out} = load {LLVM_TYPES[type_]}, ptr {at}{tag}")

    def put(self, register: int, at: str, region: int = -1) -> None:
        """Write a store of a register to a word."""
        type_, value = self.wide(register)
        self.keep(type_, value, at, self.tags.get(region, ""))

    def wide(self, register: int) -> tuple[str, str]:
        """Return the type and operand of a register as a word."""
        value, type_ = self.names[register], self.types[register]
        if type_ != "b":
            return LLVM_TYPES[type_], value
        if not value.startswith("%"):
            return "i64", "1" if value == "true" else "0"
        wide = f"%w{self.fresh()}"
        self.lines.append(f"{wide} = zext i1 {value} to i64")
        return "i64", wide

    def keep(self, llvm: str, value: str, at: str, tag: str = "") -> None:
        """Write a store, in a flat branch of the old value where its side is not taken."""
        if self.taken:
            number = self.fresh()
            self.lines.append(
                f"%o{number} = load {llvm}, ptr {at}{tag}\n"
                f"%k{number} = select i1 {self.taken}, {llvm} {value}, {llvm} %o{number}"
            )
            value = f"%k{number}"
        self.lines.append(f"store {llvm} {value}, ptr {at}{tag}")


def constant(type_: str, value: Any) -> str:
    """Return a constant as an operand; doubles by their bits."""
    if type_ == "f":
        return f"0x{ir.bits_of(value):016X}"
    if type_ == "i":
        return str(int(value))
    return "true" if value else "false"


def _trap(reason: str) -> str:
    code = _TRAP_CODES[reason]
    return (
        f"trap.{reason}:\n"
        f"%left.{reason} = load i64, ptr %fuel\n"
        f"store i64 %left.{reason}, ptr %out.fuel\n"
        f"store i64 0, ptr %out.orders\n"
        f"store i64 0, ptr %out.outputs\n"
        f"store i64 {code}, ptr %out.trap\n"
        f"ret i64 {-code}"
    )
