"""What a profile asks for before a phase is passed: gates that must be open, targets to be met."""

from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

from quantlab.kernel.canonical import Json
from quantlab.kernel.records import dataclass
from quantlab.ledger.state import Account
from quantlab.rules import terms
from quantlab.rules.consistency import best_day_share, share_detail
from quantlab.rules.goals import progress


@dataclass(frozen=True, slots=True)
class Goal:
    """One thing asked for, whether it is met, and the figures in words."""

    rule: str
    rule_id: str
    met: bool
    words: str

    def as_payload(self) -> dict[str, Json]:
        """Return the goal as events and the API show it."""
        return {"rule": self.rule, "ruleId": self.rule_id, "met": self.met, "detail": self.words}


def goals(profile: terms.Profile, account: Account) -> tuple[Goal, ...]:
    """Return the profile's goals in its order; none where it asks for nothing."""
    return tuple(
        Goal(rule.slug, rule.rule_id, *_JUDGES[type(rule)](rule, account))
        for rule in profile.rules
        if _is_goal(rule)
    )


def has_goals(profile: terms.Profile) -> bool:
    """Say whether a phase under this profile can be passed at all."""
    return any(_is_goal(rule) for rule in profile.rules)


def _is_goal(rule: terms.Rule) -> bool:
    return type(rule) in _JUDGES and rule.severity == terms.GATE


def _consistency(rule: terms.Consistency, account: Account) -> tuple[bool, str]:
    share = best_day_share(rule, account)
    return share.passed, share_detail(rule, share, account.currency_digits)


def _progress(rule: terms.Goal, account: Account) -> tuple[bool, str]:
    found = progress(rule, account)
    return found.reached, found.words


_Judge = Callable[[Any, Account], tuple[bool, str]]
_JUDGES: Final[Mapping[type, _Judge]] = {
    terms.Consistency: _consistency,
    **dict.fromkeys(get_args(terms.Goal), _progress),
}
