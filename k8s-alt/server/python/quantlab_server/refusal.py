"""What the operator is told when something cannot go on: one sentence, no traceback."""


class Refusal(Exception):
    """Say in one sentence what cannot be done, where, and what would help."""
