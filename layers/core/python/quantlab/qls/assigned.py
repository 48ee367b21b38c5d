"""Which names a body changes with := and the like."""

from collections.abc import Iterable

from quantlab.qls import tree


def assigned_in(body: Iterable[tree.Statement]) -> frozenset[str]:
    """Return the names that any statement of a body changes, however deep."""
    found: set[str] = set()
    waiting = list(body)
    while waiting:
        statement = waiting.pop()
        kind = statement.__class__
        if kind is tree.Assign:
            found.add(statement.name)  # type: ignore[arg-type, union-attr]
        elif isinstance(statement, tree.If):
            waiting += statement.then
            waiting += statement.other
        elif isinstance(statement, tree.For):
            waiting += statement.body
        elif isinstance(statement, tree.Switch):
            for arm in statement.arms:
                waiting += arm.body
    return frozenset(found)
