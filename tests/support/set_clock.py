"""A clock that stands where a test sets it."""

from quantlab.kernel.instants import SECOND_NS


class SetClock:
    def __init__(self, at_ns: int = 0) -> None:
        self.at_ns = at_ns

    def now_ns(self) -> int:
        return self.at_ns

    def ahead(self, seconds: float) -> None:
        self.at_ns += int(seconds * SECOND_NS)
