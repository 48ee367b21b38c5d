"""What does not hold, in words, and the rows that checks of the database share."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psycopg

Row = dict[str, Any]
Connection = psycopg.Connection[Row]
Key = tuple[str, str]
SHOWN_MAX = 20


@dataclass
class Findings:
    """What does not hold, in words; a few of each kind, and how many there were."""

    counts: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)

    def expect(self, holds: object, kind: str, what: object) -> None:
        self.checked[kind] += 1
        if not holds:
            self.counts[kind] += 1
            if self.counts[kind] <= SHOWN_MAX:
                self.shown.append(f"{kind}: {what}")

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __str__(self) -> str:
        return f"{dict(self.counts)}\n" + "\n".join(self.shown)
