"""Records that are made and changed often: `dataclass` and `replace` at a fraction of the price.

A frozen dataclass sets each field through object.__setattr__, ten times dearer than an assignment,
and dataclasses.replace walks the fields' descriptions at each call. The type checker sees the
originals, and refuses to assign to a field; at run time nothing does.
"""

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass", "replace"]

if TYPE_CHECKING:
    from dataclasses import dataclass, replace
else:
    _Read = Callable[[Any], tuple[Any, ...]]
    _shapes: dict[type, tuple[_Read, dict[str, int]] | None] = {}

    def dataclass(
        *, slots: bool, frozen: bool = False, eq: bool = True, order: bool = False
    ) -> Callable[[type], type]:
        """Decorate like dataclasses.dataclass; frozen leaves the hash of the values."""
        return dataclasses.dataclass(slots=slots, eq=eq, order=order, unsafe_hash=frozen)

    def replace(record: Any, /, **changes: Any) -> Any:
        """Return a record of the same kind with some fields changed.

        Raises:
            TypeError: there is no field of that name.

        """
        kind = record.__class__
        if kind not in _shapes:
            _shapes[kind] = _shape(kind)
        shape = _shapes[kind]
        if shape is None or not shape[1].keys() >= changes.keys():
            return dataclasses.replace(record, **changes)
        read, places = shape
        values = [*read(record)]
        for name, value in changes.items():
            values[places[name]] = value
        return kind(*values)

    def _shape(kind: type) -> tuple[_Read, dict[str, int]] | None:
        """Say how to read all fields and where each stands; None where not all are positional."""
        fields = dataclasses.fields(kind)
        if len(fields) < 2 or any(field.kw_only or not field.init for field in fields):
            return None
        names = [field.name for field in fields]
        return attrgetter(*names), {name: place for place, name in enumerate(names)}
