"""Invariants: a broken one is our bug, never the user's input."""


class InvariantBroken(Exception):
    """A statement that must always hold did not; the command goes to the dead letters."""


def check(condition: object, message: str) -> None:
    """Raise InvariantBroken with the message unless the condition holds."""
    if not condition:
        raise InvariantBroken(message)
