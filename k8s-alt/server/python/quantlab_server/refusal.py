"""What the operator is told when something cannot go on: one sentence, no traceback."""


class Refusal(Exception):  # noqa: N818
    """Say in one sentence what cannot be done, where, and what would help."""
