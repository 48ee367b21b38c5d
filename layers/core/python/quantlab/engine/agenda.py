"""When the clock alone may break a rule: whom to look at again then, without a quote."""

import heapq

from quantlab.engine.watched import Watched
from quantlab.kernel.instants import SECOND_NS
from quantlab.rules.breaks import inactive_from_ns, next_change_ns
from quantlab.rules.terms import Inactivity, Profile

RELOOK_NS = 60 * SECOND_NS
_AT_ONCE = 0


class Agenda:
    """Accounts with a rule on time, each at the next instant at which it may be broken.

    Accounts of one profile share their instants, so the queue is short however many there are.
    """

    def __init__(self) -> None:
        self._instants: list[int] = []
        self._at: dict[int, set[str]] = {}
        self._due: dict[str, int] = {}
        self._starts: dict[str, tuple[int, int]] = {}

    def enter(self, account_id: str, profile: Profile) -> None:
        """Take in an account, to be looked at as soon as possible, if a rule of it asks for it."""
        if profile.standing_rules:
            self._plan(account_id, _AT_ONCE)

    def drop(self, account_id: str) -> None:
        """Forget an account."""
        due_ns = self._due.pop(account_id, None)
        if due_ns is not None:
            self._at[due_ns].discard(account_id)

    def take_due(self, now_ns: int) -> list[str]:
        """Return whom to look at now; `look_again` puts each of them back."""
        taken: list[str] = []
        while self._instants and self._instants[0] <= now_ns:
            taken += sorted(self._at.pop(heapq.heappop(self._instants)))
        for account_id in taken:
            del self._due[account_id]
        return taken

    def look_again(self, watched: Watched, now_ns: int, *, asked: bool) -> None:
        """Plan the next look: at the next change, sooner after a check was asked for."""
        instants = [self._next_start_ns(watched.profile, now_ns)]
        instants += [
            inactive_from_ns(rule, watched.account)
            for rule in watched.profile.standing_rules
            if isinstance(rule, Inactivity)
        ]
        if asked:
            instants.append(now_ns + RELOOK_NS)
        ahead = [instant for instant in instants if instant is not None and instant > now_ns]
        if ahead:
            self._plan(watched.account.account_id, min(ahead))

    def _next_start_ns(self, profile: Profile, now_ns: int) -> int | None:
        """Return when a window begins next; it is worked out once for all accounts of a profile."""
        known = self._starts.get(profile.version)
        if known is not None and known[0] <= now_ns < known[1]:
            return known[1]
        start_ns = next_change_ns(profile, now_ns)
        if start_ns is not None:
            self._starts[profile.version] = (now_ns, start_ns)
        return start_ns

    def _plan(self, account_id: str, due_ns: int) -> None:
        self.drop(account_id)
        if due_ns not in self._at:
            self._at[due_ns] = set()
            heapq.heappush(self._instants, due_ns)
        self._at[due_ns].add(account_id)
        self._due[account_id] = due_ns
