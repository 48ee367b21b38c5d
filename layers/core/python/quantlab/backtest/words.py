"""Doubles as the 64-bit words a strategy hands over, and back."""

import struct


def double_of(word: int) -> float:
    """Return the IEEE double whose bits are a signed word."""
    value: float = struct.unpack("<d", struct.pack("<q", word))[0]
    return value


def word_of(value: float) -> int:
    """Return the bits of a double as a signed word."""
    word: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return word
