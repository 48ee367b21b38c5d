"""A file of rule vectors, read and checked in full before anything is run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from quantlab.kernel.decimals import parse_minor, to_units
from quantlab.kernel.instants import SECOND_NS, format_rfc3339
from quantlab.market.catalog import Catalog, parse_catalog
from quantlab.market.document import CatalogError
from quantlab.market.quote import Quote
from quantlab.rules.profile import parse_profile
from quantlab.rules.reader import Problem, ProfileError, Reader, shown
from quantlab.rules.surroundings import (
    LinkedAccount,
    LinkedOrder,
    NewsEvent,
    Surroundings,
    parse_news,
)
from quantlab.rules.terms import Profile
from quantlab_server.rule_vectors.expected import read_expected

VECTORS_MAX: Final = 10_000
STEPS_MAX: Final = 10_000
CURRENCY: Final = "USD"
ACTS: Final = ("quote", "trade", "check", "payout")
EARLIEST_NS: Final = 0
LATEST_NS: Final = 7_258_118_400 * SECOND_NS  # 2200
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
_ANY = re.compile(r".{0,2000}", re.DOTALL)


class MalformedVectors(ValueError):
    """A file that cannot be run, with what is wrong and where."""


@dataclass(frozen=True, slots=True)
class Step:
    """One moment: at most one act, then what must hold. quote is None for any other act."""

    at_ns: int
    act: str | None
    body: Any
    quote: Quote | None
    expected: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Vector:
    """An account under a profile from its opening on, through steps in order of time."""

    name: str
    profile: Profile
    opened_ns: int
    around: Surroundings
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class VectorFile:
    """The catalogue all vectors trade by, and the vectors."""

    catalog: Catalog
    vectors: tuple[Vector, ...]


def parse_vectors(document: Any, presets: Mapping[str, Any]) -> VectorFile:
    """Read a file; MalformedVectors says what is wrong and where. presets are named profiles."""
    problems: list[Problem] = []
    reader = Reader(document, "", problems)
    reader.text("$schema", _ANY, "text", default="")
    reader.text("about", _ANY, "text", default="")
    reader.whole("format", 1, 1)
    _raise(problems)
    catalog = _catalog(reader.value("catalog"))
    items = reader.objects("vectors", VECTORS_MAX)
    _raise(problems)
    vectors = [_vector(item, catalog, presets) for item in items]
    reader.finish()
    names = [vector.name for vector in vectors]
    for name in sorted({name for name in names if names.count(name) > 1}):
        reader.refuse("vectors", "a distinct name for each vector", f"{name!r} more than once")
    _raise(problems)
    return VectorFile(catalog, tuple(vectors))


def _raise(problems: list[Problem], within: str = "") -> None:
    if problems:
        first, more = problems[0], len(problems) - 1
        rest = f" (and {more} more)" if more else ""
        where = f"{within}{first.pointer}" or "/"
        raise MalformedVectors(f"{where}: expected {first.expected}, got {first.got}{rest}")


def _catalog(document: Any) -> Catalog:
    try:
        return parse_catalog(document)
    except CatalogError as error:
        raise MalformedVectors(f"/catalog{error}") from error
    except (TypeError, AttributeError) as error:
        raise MalformedVectors("/catalog: expected an instrument catalogue") from error


def _vector(reader: Reader, catalog: Catalog, presets: Mapping[str, Any]) -> Vector:
    name = reader.text("name", _NAME, "lower-case words joined by hyphens")
    for key in ("rule", "source", "about"):
        reader.text(key, _ANY, "text", default="")
    profile = _profile(reader, catalog, presets)
    opened_ns = _moment(reader, "opened")
    around = Surroundings(_news(reader), _linked(reader, catalog))
    steps: list[Step] = []
    for item in reader.objects("steps", STEPS_MAX):
        steps.append(_step(item, catalog, len(steps)))
        if steps[-1].at_ns < (steps[-2].at_ns if len(steps) > 1 else opened_ns):
            item.refuse("at", "a time not before the step before it")
    reader.finish()
    return Vector(name, profile, opened_ns, around, tuple(steps))


def _profile(reader: Reader, catalog: Catalog, presets: Mapping[str, Any]) -> Profile:
    digits = catalog.currency_digits[CURRENCY]
    expected = "an amount above 0 as decimal text"
    initial = parse_minor(reader.plain("initialBalance", expected), digits)
    given = reader.value("profile")
    document = presets.get(given) if isinstance(given, str) else given
    if initial is None or initial <= 0:
        reader.refuse("initialBalance", expected)
    if not isinstance(document, dict):
        expected, got = "a rule profile, or the name of a preset", shown(given)
        raise MalformedVectors(f"{reader.at('profile')}: expected {expected}, got {got}")
    try:
        return parse_profile(
            document, currency_digits=digits, initial_balance_minor=max(initial or 1, 1)
        )
    except ProfileError as error:
        _raise(list(error.problems), reader.at("profile"))
        raise


def _news(reader: Reader) -> tuple[NewsEvent, ...] | None:
    if not reader.has("news"):
        return None
    try:
        return parse_news(reader.value("news"))
    except ProfileError as error:
        _raise(list(error.problems), reader.at("news"))
        raise


def _linked(reader: Reader, catalog: Catalog) -> tuple[LinkedAccount, ...] | None:
    if not reader.has("linked"):
        return None
    found = []
    for item in reader.objects("linked", VECTORS_MAX, least=0):
        account_id = item.plain("accountId", "the name of an account")
        same_owner = item.flag("sameOwner")
        positions = [_held(one, catalog) for one in item.objects("positions", STEPS_MAX, least=0)]
        orders = [_ordered(one) for one in item.objects("orders", STEPS_MAX, least=0)]
        item.finish()
        found.append(LinkedAccount(account_id, same_owner, tuple(positions), tuple(orders)))
    return tuple(found)


def _held(reader: Reader, catalog: Catalog) -> tuple[str, int]:
    symbol = reader.choice("symbol", tuple(catalog.instruments))
    expected = "a signed number of lots on the size step"
    lots = reader.decimal("lots", expected)
    steps = None if lots is None else to_units(lots, catalog.instruments[symbol].size_step)
    if lots is not None and steps is None:
        reader.refuse("lots", expected)
    reader.finish()
    return symbol, steps or 0


def _ordered(reader: Reader) -> LinkedOrder:
    symbol = reader.plain("symbol", "a symbol")
    side = 1 if reader.choice("side", ("buy", "sell")) == "buy" else -1
    at_ns = reader.instant("at")
    reader.finish()
    return LinkedOrder(symbol, side, at_ns)


def _moment(reader: Reader, key: str) -> int:
    """Read an instant of the years that the calendars of all zones reach."""
    at_ns = reader.instant(key)
    if not EARLIEST_NS <= at_ns < LATEST_NS:
        reader.refuse(key, "a time from 1970 to 2199")
        return EARLIEST_NS
    return at_ns


def _step(reader: Reader, catalog: Catalog, index: int) -> Step:
    at_ns = _moment(reader, "at")
    acts = [act for act in ACTS if reader.has(act)]
    if len(acts) > 1:
        reader.refuse(acts[1], "one act a step", f"{' and '.join(acts)} together")
    act = acts[0] if acts else None
    body = None if act is None else reader.value(act)
    quote = None
    if act == "quote":
        quote = _quote(reader.child("quote"), catalog, at_ns, index + 1)
    elif act == "payout":
        body = parse_minor(reader.plain("payout", "an amount"), catalog.currency_digits[CURRENCY])
        if body is None or body <= 0:
            reader.refuse("payout", "an amount above 0 as decimal text")
    elif act in ("trade", "check") and not isinstance(body, dict):
        reader.refuse(act, "an object")
    elif act == "check":
        reader.child("check").finish()
    elif act == "trade":
        body = _trade(reader.child("trade"))
    expected = read_expected(reader)
    reader.finish()
    return Step(at_ns, act, body, quote, expected)


def _trade(reader: Reader) -> dict[str, str]:
    """Read a trade as a signal has it."""
    asked = {"action": reader.choice("action", ("buy", "sell", "close", "flat"))}
    for key in ("symbol", "quantity", "stopLoss", "takeProfit"):
        if reader.has(key):
            expected = "a symbol" if key == "symbol" else "decimal text"
            asked[key] = reader.plain(key, expected)
            if key != "symbol" and (reader.decimal(key, expected) or 0) <= 0:
                reader.refuse(key, "decimal text above 0")
    needed = {"buy": ("symbol", "quantity"), "sell": ("symbol", "quantity"), "close": ("symbol",)}
    for key in needed.get(asked["action"], ()):
        if key not in asked:
            reader.refuse(key, f"one for {asked['action']}")
    reader.finish()
    return asked


def _quote(reader: Reader, catalog: Catalog, at_ns: int, seq: int) -> Quote:
    symbol = reader.choice("symbol", tuple(catalog.instruments))
    tick = catalog.instruments[symbol].tick
    prices = []
    for key in ("bid", "ask"):
        price = reader.decimal(key, f"a price on the tick of {tick}")
        ticks = None if price is None else to_units(Decimal(price), tick)
        if price is not None and (ticks is None or ticks < 0):
            reader.refuse(key, f"a price on the tick of {tick}")
        prices.append(ticks or 0)
    reader.finish()
    return Quote(symbol, prices[0], prices[1], at_ns, seq)


def moment(step: Step) -> str:
    """Write when a step is."""
    return format_rfc3339(step.at_ns)
