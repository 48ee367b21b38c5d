"""What is kept of an account under watch, and the commands that are demanded for it."""

from collections.abc import Mapping
from dataclasses import field

from quantlab.engine import commands
from quantlab.kernel.canonical import Json
from quantlab.kernel.instants import SECOND_NS
from quantlab.kernel.records import dataclass
from quantlab.ledger.state import Account
from quantlab.ledger.trading_terms import STANDARD, TradingTerms
from quantlab.market.fill_model import FillModel
from quantlab.rules.terms import Profile

RETRY_NS = 2 * SECOND_NS
OBSERVE_EVERY_NS = SECOND_NS
OF_A_QUOTE = (commands.PROTECT, commands.WORK_ORDER, commands.LIQUIDATE, commands.STOP_OUT)

Name = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Demand:
    """A command that a quote calls for.

    identity is the same when the same command is demanded by another watch, or again after a
    restart. tick_ts_ns is the time of the quote that called for it, on the feed's clock; None when
    it was no single quote.
    """

    tenant_id: str
    account_id: str
    name: str
    payload: dict[str, Json]
    identity: Name
    tick_ts_ns: int | None = None


@dataclass(slots=True)
class Watched:
    """An account under watch.

    account carries the highest mark and the best peaks of trails seen, stored_mark_minor and
    stored_peaks those its writer knows of; touched holds the stops that were reached: they stay so
    until the position is gone. asked has the last identity demanded of each thing, answered those
    the account has moved after: a rest waits for the next quote. symbols are those its equity rests
    on, heard those of its orders as well. fill_models are its tenant's own, by symbol, and halted
    what of heard its tenant has halted.
    """

    account: Account
    profile: Profile
    symbols: frozenset[str]
    heard: frozenset[str]
    stored_mark_minor: int
    stored_peaks: dict[str, int]
    trading: TradingTerms = STANDARD
    fill_models: Mapping[str, FillModel] = field(default_factory=dict)
    halted: Mapping[str, str] = field(default_factory=dict)
    peak_seq: int = 0
    mark_seq: int = 0
    observed_ns: int = 0
    touched: set[Name] = field(default_factory=set)
    demanded: dict[Name, int] = field(default_factory=dict)
    asked: dict[Name, Name] = field(default_factory=dict)
    answered: dict[Name, Name] = field(default_factory=dict)

    @property
    def answers(self) -> dict[Name, Name]:
        """The last identity of each thing that a quote called for, once that has been answered."""
        asked = self.answered | self.asked
        return {k: v for k, v in asked.items() if k[0] in OF_A_QUOTE}

    def ask_again(self) -> None:
        """Let everything that a quote may call for be demanded again."""
        self.demanded = {k: at for k, at in self.demanded.items() if k[0] not in OF_A_QUOTE}


def seen_peak(watched: Watched) -> dict[str, Json]:
    """Return the mark that was seen, and the one its writer knew then: what a command tells it."""
    return {
        "peakMinor": str(watched.account.high_water_minor),
        "knownMarkMinor": str(watched.stored_mark_minor),
    }


def is_lowered(old: Watched, account: Account) -> bool:
    """Say whether a correction has taken the mark down: what was seen before counts no more."""
    return account.high_water_minor < old.stored_mark_minor


def demand_once(
    watched: Watched,
    about: Name,
    identity: Name,
    payload: dict[str, Json],
    now_ns: int,
    tick_ts_ns: int | None = None,
) -> list[Demand]:
    """Demand a command unless the same was demanded lately, or has had its answer."""
    if watched.answered.get(about) == identity:
        return []
    last_ns = watched.demanded.get(about)
    if last_ns is not None and now_ns - last_ns < RETRY_NS:
        return []
    watched.demanded[about] = now_ns
    watched.asked[about] = identity
    account = watched.account
    name = str(about[0])
    return [Demand(account.tenant_id, account.account_id, name, payload, identity, tick_ts_ns)]
