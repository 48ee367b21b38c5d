"""Notice children that ended and start them again, later each time they fail soon."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from quantlab_server.children import Child

FIRST_WAIT_S: Final = 0.2
WAIT_S_MAX: Final = 10.0
STEADY_AFTER_S: Final = 30.0


@dataclass(slots=True)
class _Record:
    child: Child
    since: float
    failures: int = 0
    due: float | None = None


class Watch:
    """Keep a set of children running."""

    def __init__(
        self,
        children: tuple[Child, ...],
        tell: Callable[[Child, int, float], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._tell = tell
        self._records = tuple(_Record(child, now()) for child in children)

    def look(self) -> bool:
        """Reap what ended, start what is due; tell whether any process changed."""
        changes = [self._look_at(record) for record in self._records]
        return any(changes)

    def restarted_most(self) -> tuple[str, int] | None:
        """Name the child that failed most often of late."""
        worst = max(self._records, key=lambda record: record.failures, default=None)
        if worst is None or worst.failures == 0:
            return None
        return worst.child.name, worst.failures

    def _look_at(self, record: _Record) -> bool:
        now = self._now()
        if record.due is not None:
            if now < record.due:
                return False
            record.due = None
            record.since = now
            record.child.start()
            return True
        code = record.child.exit_code()
        if code is None:
            return False
        record.child.finish()
        steady = now - record.since >= STEADY_AFTER_S
        record.failures = 1 if steady else record.failures + 1
        wait_s = min(WAIT_S_MAX, FIRST_WAIT_S * 2 ** (record.failures - 1))
        record.due = now + wait_s
        self._tell(record.child, code, wait_s)
        return True
