"""Verdicts and rule states: what was decided, from which figures, by which arithmetic."""

from collections.abc import Iterable

from quantlab.kernel.canonical import Json
from quantlab.kernel.decimals import format_minor
from quantlab.kernel.instants import format_rfc3339
from quantlab.kernel.records import dataclass
from quantlab.ledger.state import Account
from quantlab.rules import terms

_ACTIONS_BY_GRAVITY = (
    terms.DISABLE_ACCOUNT,
    terms.LOCK_UNTIL_RESET,
    terms.FLATTEN,
    terms.REJECT_ORDERS,
    terms.WARN_ONLY,
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of a rule in another unit than money: its limit, what was found, what is left.

    All are text in the unit: lots, orders, trades, days, or money where there is no floor.
    """

    threshold: str | None
    value: str | None
    room: str | None
    unit: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A broken rule, or one newly warned of (violated is false), with its evidence.

    inputs hold what the arithmetic used, amounts as decimal text; threshold and value are None
    for rules that compare no amounts. measured has the figures of rules that count something else.
    """

    rule: str
    rule_id: str
    severity: str
    action: str
    profile_version: str
    violated: bool
    at_ns: int
    inputs: dict[str, int | str]
    arithmetic: str
    threshold_minor: int | None
    value_minor: int | None
    currency_digits: int
    measured: Measured | None = None

    @property
    def event_type(self) -> str:
        """The type of the event this verdict becomes."""
        return f"rule.{'violation' if self.violated else 'warning'}.{self.rule}"

    def as_payload(self) -> dict[str, Json]:
        """Return the verdict as the payload of its event."""
        payload: dict[str, Json] = {
            "rule": self.rule,
            "ruleId": self.rule_id,
            "severity": self.severity,
            "action": self.action,
            "profileVersion": self.profile_version,
            "violated": self.violated,
            "at": format_rfc3339(self.at_ns),
            "inputs": dict(self.inputs),
            "arithmetic": self.arithmetic,
            "threshold": amount_text(self.threshold_minor, self.currency_digits),
            "value": amount_text(self.value_minor, self.currency_digits),
        }
        return payload | measured_payload(self.measured)


@dataclass(frozen=True, slots=True)
class RuleStatus:
    """Where an account stands with a rule.

    state is ok, warned, violated, gate_closed (a goal not yet met), closed (no order is taken now)
    or unknown (what the rule needs could not be read). floor and distance are None for rules
    without a floor; measured is None for rules that count nothing.
    """

    rule: str
    rule_id: str
    severity: str
    action: str
    state: str
    detail: str
    floor_minor: int | None
    distance_minor: int | None
    currency_digits: int
    measured: Measured | None = None

    def as_payload(self) -> dict[str, Json]:
        """Return the status as the public API shows it."""
        return {
            "rule": self.rule,
            "ruleId": self.rule_id,
            "severity": self.severity,
            "action": self.action,
            "state": self.state,
            "detail": self.detail,
            "floor": amount_text(self.floor_minor, self.currency_digits),
            "distance": amount_text(self.distance_minor, self.currency_digits),
            **measured_payload(self.measured),
        }


def measured_payload(found: Measured | None) -> dict[str, Json]:
    """Write the figures of a rule that counts something else than money; nothing without any."""
    if found is None:
        return {}
    return {
        "threshold": found.threshold,
        "value": found.value,
        "remaining": found.room,
        "unit": found.unit,
    }


def make_verdict(
    profile: terms.Profile,
    rule: terms.Rule,
    now_ns: int,
    inputs: dict[str, int | str],
    arithmetic: str,
    *,
    figures: tuple[int, int] | None = None,
    measured: Measured | None = None,
) -> Verdict:
    """Put a rule's answer into a verdict; figures are its threshold and value in minor units."""
    return Verdict(
        rule=rule.slug,
        rule_id=rule.rule_id,
        severity=rule.severity,
        action=rule.action,
        profile_version=profile.version,
        violated=rule.action != terms.WARN_ONLY,
        at_ns=now_ns,
        inputs=inputs,
        arithmetic=arithmetic,
        threshold_minor=None if figures is None else figures[0],
        value_minor=None if figures is None else figures[1],
        currency_digits=profile.currency_digits,
        measured=measured,
    )


def amount_text(amount_minor: int | None, digits: int) -> str | None:
    """Write an amount as plain decimal text, None as None."""
    return None if amount_minor is None else format_minor(amount_minor, digits)


def gravest_action(verdicts: Iterable[Verdict]) -> str | None:
    """Return the action that goes furthest among the verdicts, None without any."""
    return gravest(verdict.action for verdict in verdicts)


def gravest(actions: Iterable[str]) -> str | None:
    """Return the action that goes furthest, None without any."""
    taken = set(actions)
    return next((action for action in _ACTIONS_BY_GRAVITY if action in taken), None)


def raised_after(account: Account, verdicts: Iterable[Verdict]) -> tuple[str, ...]:
    """Return the account's raised rule ids with those of the verdicts, each once, in order."""
    ids = (*account.raised, *(verdict.rule_id for verdict in verdicts))
    return tuple(dict.fromkeys(ids))
