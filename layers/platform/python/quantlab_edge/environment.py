"""The process's environment as one typed object, read once at start.

It must not know what the variables are for.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from inspect import get_annotations
from pathlib import Path
from typing import Any, ClassVar, Final, Self, dataclass_transform, get_args

from quantlab_app.ports.errors import Misconfigured

PREFIX: Final = "QUANTLAB_"
_TRUE: Final = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE: Final = frozenset({"0", "false", "f", "no", "n", "off"})
_REQUIRED: Final = object()


@dataclass(frozen=True, slots=True)
class _Variable:
    default: object
    check: Callable[[Any], object]


def variable(
    *, default: object = _REQUIRED, check: Callable[[Any], object] = lambda _value: None
) -> Any:
    """Declare a variable; check raises ValueError, which says what it expects."""
    return _Variable(default, check)


def matching(pattern: str) -> Callable[[str], None]:
    """Make the check that a whole text has a form."""
    form = re.compile(pattern)

    def check(text: str) -> None:
        if form.fullmatch(text) is None:
            raise ValueError(f"expected a text like {pattern}")

    return check


def between(least: int, most: int | None = None) -> Callable[[int], None]:
    """Make the check that a number is neither too small nor too large."""
    expected = f"at least {least}" if most is None else f"a number from {least} to {most}"

    def check(number: int) -> None:
        if number < least or (most is not None and number > most):
            raise ValueError(f"expected {expected}")

    return check


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(variable,))
class Environment:
    """Variables with the prefix QUANTLAB_, by their annotations; what is given wins.

    Misconfigured names every variable that is missing or wrong.
    """

    _variables: ClassVar[dict[str, tuple[Any, _Variable]]] = {}

    def __init_subclass__(cls) -> None:
        own = {
            name: (kind, _declared(vars(cls).get(name, _REQUIRED)))
            for name, kind in get_annotations(cls).items()
        }
        cls._variables = {**cls._variables, **own}

    def __init__(self, **given: Any) -> None:
        unknown = sorted(given.keys() - self._variables.keys())
        if unknown:
            raise TypeError(f"expected names of variables, got {', '.join(unknown)}")
        wrong = []
        for name, (kind, declared) in self._variables.items():
            try:
                vars(self)[name] = _value(name, kind, declared, given)
            except ValueError as error:
                wrong.append(f"{PREFIX}{name.upper()}: {error}")
        if wrong:
            raise Misconfigured("; ".join(wrong))

    @classmethod
    def read(cls) -> Self:
        """Read what the environment alone says."""
        return cls()

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} is read once")


def _declared(default: object) -> _Variable:
    return default if isinstance(default, _Variable) else variable(default=default)


def _value(name: str, kind: Any, declared: _Variable, given: dict[str, Any]) -> Any:
    value = given[name] if name in given else os.environ.get(f"{PREFIX}{name.upper()}", _REQUIRED)
    if value is _REQUIRED:
        value = declared.default
    if value is _REQUIRED:
        raise ValueError("expected a value, got nothing")
    if value is not None:
        value = _typed(kind, value)
        declared.check(value)
    return value


def _typed(kind: Any, value: Any) -> Any:
    """Read a text as what the annotation says."""
    kind = next((one for one in get_args(kind) if one is not type(None)), kind)
    return _READ[kind](value) if isinstance(value, str) else value


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("expected a whole number") from None


def _flag(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError("expected true or false")
    return text.lower() in _TRUE


_READ: Final[dict[Any, Callable[[str], Any]]] = {
    str: str,
    int: _whole_number,
    bool: _flag,
    Path: Path,
}
