"""What the compiler knows of a value: its type, where it is, its bounds, and when it is known."""

from typing import Any, Final, NamedTuple

FLOAT: Final = "f"
INT: Final = "i"
BOOL: Final = "b"
TEXT: Final = "s"
CHOICE: Final = "c"
TUPLE: Final = "t"
VOID: Final = "v"
WRONG: Final = "e"
RING: Final = "r"
SPOKEN: Final = {
    FLOAT: "a float", INT: "an int", BOOL: "a bool", TEXT: "a text", CHOICE: "a choice",
    TUPLE: "several values", VOID: "no value", WRONG: "an error", RING: "a ring",
}  # fmt: skip
WORD_TYPES: Final = (FLOAT, INT, BOOL)


class Value(NamedTuple):
    """A value while compiling.

    reg is its register, -1 while it is only a constant. low and high bound an int, None where
    unknown. fixed says that it is known before the first event: a constant or an input. extra holds
    a choice's options or a ring's (base, capacity).
    """

    type: str
    reg: int = -1
    const: Any = None
    low: int | None = None
    high: int | None = None
    fixed: bool = False
    items: tuple["Value", ...] = ()
    extra: Any = None


ERROR: Final = Value(WRONG)
NOTHING: Final = Value(VOID)


def constant(value: Any) -> Value:
    """Return a constant as a value."""
    if isinstance(value, bool):
        return Value(BOOL, const=value, fixed=True)
    if isinstance(value, int):
        return Value(INT, const=value, low=value, high=value, fixed=True)
    if isinstance(value, float):
        return Value(FLOAT, const=value, fixed=True)
    return Value(TEXT, const=value, fixed=True)
