"""What each operation without memory becomes in LLVM assembly.

A template gets the name of the result, which also begins the names of steps between, and the
operands. Nothing here is fast-math: LLVM neither reorders, contracts nor approximates it.
"""

from collections.abc import Callable
from typing import Final

from quantlab.qls.ir import CANONICAL_NAN_BITS

LLVM_TYPES: Final = {"f": "double", "i": "i64", "b": "i1"}
NAN: Final = f"0x{CANONICAL_NAN_BITS:016X}"
ZERO: Final = "0x0000000000000000"
PAIR: Final = "{i64, i1}"

DECLARATIONS: Final = """\
declare double @llvm.fabs.f64(double)
declare double @llvm.sqrt.f64(double)
declare double @llvm.floor.f64(double)
declare i64 @llvm.fptosi.sat.i64.f64(double)
declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)
declare {i64, i1} @llvm.sadd.with.overflow.i64(i64, i64)
declare {i64, i1} @llvm.ssub.with.overflow.i64(i64, i64)
declare {i64, i1} @llvm.smul.with.overflow.i64(i64, i64)
"""

_ZERO_DIVISORS: Final = frozenset((ZERO, "0x8000000000000000"))


def _fdiv(o: str, a: str, b: str) -> str:
    if b.startswith("0x") and b not in _ZERO_DIVISORS:
        return f"{o} = fdiv double {a}, {b}"
    return (
        f"{o}z = fcmp oeq double {b}, {ZERO}\n"
        f"{o}q = fdiv double {a}, {b}\n"
        f"{o} = select i1 {o}z, double {NAN}, double {o}q"
    )


def _extreme(compare: str) -> Callable[[str, str, str], str]:
    def lowered(o: str, a: str, b: str) -> str:
        return (
            f"{o}c = fcmp {compare} double {a}, {b}\n"
            f"{o}n = fcmp uno double {a}, {ZERO}\n"
            f"{o}p = or i1 {o}c, {o}n\n"
            f"{o} = select i1 {o}p, double {a}, double {b}"
        )

    return lowered


def _fsqrt(o: str, a: str) -> str:
    return f"{o} = call double @llvm.sqrt.f64(double {a})"


def _binary(what: str) -> Callable[[str, str, str], str]:
    return lambda o, a, b: f"{o} = {what} {a}, {b}"


def _call(what: str) -> Callable[[str, str], str]:
    return lambda o, a: f"{o} = call {what}(double {a})"


def _pow2(o: str, a: str) -> str:
    return (
        f"{o}l = call i64 @llvm.smax.i64(i64 {a}, i64 -1022)\n"
        f"{o}h = call i64 @llvm.smin.i64(i64 {o}l, i64 1023)\n"
        f"{o}e = add i64 {o}h, 1023\n"
        f"{o}s = shl i64 {o}e, 52\n"
        f"{o} = bitcast i64 {o}s to double"
    )


def _exponent(o: str, a: str) -> str:
    return (
        f"{o}w = bitcast double {a} to i64\n"
        f"{o}s = lshr i64 {o}w, 52\n"
        f"{o}e = and i64 {o}s, 2047\n"
        f"{o} = sub i64 {o}e, 1023"
    )


UNARY: Final[dict[str, Callable[[str, str], str]]] = {
    "fneg": lambda o, a: f"{o} = fneg double {a}",
    "fabs": _call("double @llvm.fabs.f64"),
    "fsqrt": _fsqrt,
    "ffloor": _call("double @llvm.floor.f64"),
    "fisna": lambda o, a: f"{o} = fcmp uno double {a}, {ZERO}",
    "bnot": lambda o, a: f"{o} = xor i1 {a}, true",
    "i2f": lambda o, a: f"{o} = sitofp i64 {a} to double",
    "f2i": _call("i64 @llvm.fptosi.sat.i64.f64"),
    "b2i": lambda o, a: f"{o} = zext i1 {a} to i64",
    "pow2": _pow2,
    "exponent": _exponent,
}
BINARY: Final[dict[str, Callable[[str, str, str], str]]] = {
    "fadd": _binary("fadd double"),
    "fsub": _binary("fsub double"),
    "fmul": _binary("fmul double"),
    "fdiv": _fdiv,
    "fmin": _extreme("olt"),
    "fmax": _extreme("ogt"),
    "flt": _binary("fcmp olt double"),
    "fle": _binary("fcmp ole double"),
    "fgt": _binary("fcmp ogt double"),
    "fge": _binary("fcmp oge double"),
    "feq": _binary("fcmp oeq double"),
    "fne": _binary("fcmp one double"),
    "wadd": _binary("add i64"),
    "wsub": _binary("sub i64"),
    "wmul": _binary("mul i64"),
    "ilt": _binary("icmp slt i64"),
    "ile": _binary("icmp sle i64"),
    "igt": _binary("icmp sgt i64"),
    "ige": _binary("icmp sge i64"),
    "ieq": _binary("icmp eq i64"),
    "ine": _binary("icmp ne i64"),
    "band": _binary("and i1"),
    "bor": _binary("or i1"),
    "bxor": _binary("xor i1"),
}
OVERFLOWING: Final = {"iadd": "sadd", "isub": "ssub", "imul": "smul"}


def checked(o: str, op: str, a: str, b: str) -> str:
    """Return an addition, subtraction or product; `<o>v` says whether it left 64 bits."""
    return (
        f"{o}s = call {PAIR} @llvm.{OVERFLOWING[op]}.with.overflow.i64(i64 {a}, i64 {b})\n"
        f"{o} = extractvalue {PAIR} {o}s, 0\n"
        f"{o}v = extractvalue {PAIR} {o}s, 1"
    )


def floor_division(o: str, a: str, b: str) -> str:
    """Return `idiv` of operands for which a division exists."""
    return (
        f"{o}q = sdiv i64 {a}, {b}\n"
        f"{o}m = srem i64 {a}, {b}\n"
        f"{o}x = xor i64 {o}m, {b}\n"
        f"{o}g = icmp slt i64 {o}x, 0\n"
        f"{o}k = icmp ne i64 {o}m, 0\n"
        f"{o}d = and i1 {o}g, {o}k\n"
        f"{o}e = sext i1 {o}d to i64\n"
        f"{o} = add i64 {o}q, {o}e"
    )


def floor_remainder(o: str, a: str, b: str) -> str:
    """Return `imod` of operands for which a division exists; a remainder by -1 is by 1, also 0."""
    return (
        f"{o}u = icmp eq i64 {b}, -1\n"
        f"{o}w = select i1 {o}u, i64 1, i64 {b}\n"
        f"{o}m = srem i64 {a}, {o}w\n"
        f"{o}x = xor i64 {o}m, {o}w\n"
        f"{o}g = icmp slt i64 {o}x, 0\n"
        f"{o}k = icmp ne i64 {o}m, 0\n"
        f"{o}d = and i1 {o}g, {o}k\n"
        f"{o}e = select i1 {o}d, i64 {o}w, i64 0\n"
        f"{o} = add i64 {o}m, {o}e"
    )
