"""Which accounts one of several like workers looks after."""

import hashlib
import re
from typing import Final

from quantlab.kernel.records import dataclass

_WRITTEN: Final = re.compile(r"(0|[1-9][0-9]{0,3})/([1-9][0-9]{0,3})")
EXPECTED: Final = "INDEX/COUNT with 0 <= INDEX < COUNT <= 9999, such as 0/3"


@dataclass(frozen=True, slots=True)
class Shard:
    """One share of count, numbered from 0 as replicas of a StatefulSet are.

    An account is in the share SHA-256(account id) mod count: in exactly one, whoever asks.
    """

    index: int
    count: int

    def holds(self, account_id: str) -> bool:
        """Say whether an account belongs to this share."""
        if self.count == 1:
            return True
        digest = hashlib.sha256(account_id.encode()).digest()
        return int.from_bytes(digest[:8]) % self.count == self.index


def parse_shard(text: str) -> Shard:
    """Read INDEX/COUNT; ValueError says what was expected."""
    found = _WRITTEN.fullmatch(text)
    if found is None or int(found[1]) >= int(found[2]):
        raise ValueError(f"expected {EXPECTED}, got {text!r}")
    return Shard(int(found[1]), int(found[2]))
