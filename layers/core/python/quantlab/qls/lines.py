"""What a strategy says as text: its values in their places."""

from collections.abc import Sequence


def line_of(text: str, values: Sequence[float | bool]) -> str:
    """Write an alert or a log line: each {} of the text takes a value."""
    parts = text.split("{}")
    words = map(value_text, values)
    return parts[0] + "".join(word + part for word, part in zip(words, parts[1:], strict=True))


def value_text(value: float | bool) -> str:
    """Write a value as the language does."""
    if isinstance(value, bool):
        return str(value).lower()
    return "na" if value != value else str(value)  # noqa: PLR0124 - NaN
