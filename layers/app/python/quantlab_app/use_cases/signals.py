"""Accepting a signal: the checks in the order the contract gives, then one durable row.

Every attempt ends in exactly one of four ways: accepted; duplicate of an accepted one; refused
with a record, when the bot proved who it is; refused and only counted, when it did not.
"""

import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any, Final

from quantlab.engine.commands import REFUSE_SIGNAL, TRADE
from quantlab.kernel.instants import SECOND_NS
from quantlab.kernel.records import dataclass
from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Actor, Scope
from quantlab.webhooks.body import (
    Signal,
    idempotency_key,
    parse_json,
    parse_signal,
    sent_at_ns,
    signal_id_of,
)
from quantlab.webhooks.fields import Problem
from quantlab.webhooks.signature import (
    Signed,
    read_signature_header,
    read_standard_headers,
    secret_matches,
    verify,
)
from quantlab_app.ports.bots import KnownBot
from quantlab_app.ports.container import Ports
from quantlab_app.ports.inbox import Accepted, NewCommand

BODY_BYTES_MAX: Final = 65_536
FUTURE_SKEW_S: Final = 300


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came in: raw bytes, where from, and the credentials of one of the three modes."""

    raw: bytes
    source: str
    bot_id: str | None = None
    signature: str | None = None
    standard: tuple[str, str, str] | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A signal that is durably queued, or the first one of which this is a duplicate."""

    signal_id: str
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal: the slug of its problem, what to say, and how it was kept.

    recorded says that the bot was authenticated: the attempt has a record of that signal_id.
    """

    slug: str
    detail: str
    recorded: bool = False
    problems: tuple[Problem, ...] = ()
    retry_after_s: int | None = None
    signal_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Proven:
    """An attempt whose bot is authenticated; again asks the store whether it still is."""

    bot: KnownBot
    scope: Scope
    raw: bytes
    document: dict[str, Any] | None
    key: bytes
    digest: bytes
    now_ns: int
    stale: str | None
    again: "_Again"


_Again = Callable[[], Awaitable[KnownBot | None]]
_NO_LONGER: Final = Refused("bad_signature", "expected credentials that the bot has now")


async def accept(ports: Ports, attempt: Attempt, correlation_id: str) -> Receipt | Refused:
    """Run the checks over an attempt and queue the signal; answer only after the commit."""
    now_ns = ports.clock.now_ns()
    proven = await _authenticate(ports, attempt, correlation_id, now_ns)
    if isinstance(proven, Refused):
        await ports.unauthenticated.count(now_ns, attempt.source, proven.slug)
        return proven
    checked = await _check(ports, proven)
    if checked is _NO_LONGER:
        await ports.unauthenticated.count(now_ns, attempt.source, checked.slug)
        return checked
    if isinstance(checked, Refused):
        first = await _first_of(ports, proven)
        return await _refuse(ports, proven, checked) if first is None else first
    signal, account_id = checked
    command = _command(ports, proven, account_id, signal.as_payload())
    accepted = await ports.inbox.accept(proven.scope, command)
    if accepted.new:
        return Receipt(accepted.signal_id, duplicate=False)
    bot = proven.bot
    await ports.signal_limits.give_back(bot.tenant_id, bot.bot_id, account_id, bot.limits)
    return await _duplicate(ports, proven, accepted)


async def _authenticate(
    ports: Ports, attempt: Attempt, correlation_id: str, now_ns: int
) -> _Proven | Refused:
    """Size, bot, signature: over the raw bytes, before anything in them is believed."""
    if len(attempt.raw) > BODY_BYTES_MAX:
        return Refused("payload_too_large", f"expected a body of at most {BODY_BYTES_MAX} bytes")
    if attempt.token is not None:
        return await _authenticate_token(ports, attempt, correlation_id, now_ns)
    signed = _signed(attempt)
    if isinstance(signed, Refused):
        return signed

    async def holder(**how: bool) -> KnownBot | None:
        bot = await ports.known_bots.by_id(attempt.bot_id or "", **how)
        return bot if bot is not None and verify(signed, attempt.raw, bot.secrets) else None

    bot = await holder() or await holder(recent=True)
    if bot is None:
        return Refused("bad_signature", "expected a signature of the raw body by this bot")
    age_s = now_ns // SECOND_NS - signed.timestamp_s
    window_s = bot.webhooks.replay_window_s
    stale = None
    if abs(age_s) > window_s:
        stale = f"expected a timestamp within {window_s} s of now, was {age_s} s old"
    document = parse_json(attempt.raw)
    own_id = signal_id_of(document) or signed.message_id
    again = partial(holder, fresh=True)
    return _proven(bot, attempt.raw, document, own_id, now_ns, stale, correlation_id, again)


def _signed(attempt: Attempt) -> Signed | Refused:
    if not attempt.bot_id:
        return Refused("bad_signature", "expected the header X-Bot-Id, was absent")
    if attempt.signature is not None:
        signed = read_signature_header(attempt.signature)
        form = "X-Signature: t=<unix seconds>,v1=<hex>"
    elif attempt.standard is not None:
        signed = read_standard_headers(*attempt.standard)
        form = "webhook-id, webhook-timestamp and webhook-signature: v1,<base64>"
    else:
        return Refused(
            "bad_signature", "expected X-Signature or the Standard Webhooks headers, was neither"
        )
    return signed or Refused("bad_signature", f"expected {form}")


async def _authenticate_token(
    ports: Ports, attempt: Attempt, correlation_id: str, now_ns: int
) -> _Proven | Refused:
    """Prove a sender without headers: an unguessable address, and the secret in the body."""
    token_hash = hashlib.sha256((attempt.token or "").encode()).digest()
    bot = await ports.known_bots.by_token(token_hash)
    if bot is None or not bot.token_enabled:
        return Refused("unknown_token", "no bot receives signals at this address")
    if not _allowed_source(bot, attempt.source):
        return Refused("source_not_allowed", "this address is not among the bot's allowed sources")
    document = parse_json(attempt.raw)
    if document is None:
        return Refused("malformed", "expected a JSON object in UTF-8 without repeated keys")
    given = document.pop("secret", None)

    async def holder(**how: bool) -> KnownBot | None:
        bot = await ports.known_bots.by_token(token_hash, **how)
        if bot is None or not bot.token_enabled or not isinstance(given, str):
            return None
        return bot if secret_matches(given, bot.secrets) else None

    bot = await holder() or await holder(recent=True)
    if bot is None:
        return Refused("bad_secret", "expected the bot's secret in the field secret")
    stale = _lag(document, bot, now_ns)
    own_id = signal_id_of(document)
    again = partial(holder, fresh=True)
    return _proven(bot, attempt.raw, document, own_id, now_ns, stale, correlation_id, again)


def _allowed_source(bot: KnownBot, source: str) -> bool:
    networks = bot.source_addresses or bot.webhooks.allowed_sources
    if not networks:
        return True
    try:
        address = ip_address(source)
    except ValueError:
        return False
    return any(address in ip_network(network) for network in networks)


def _lag(document: dict[str, Any], bot: KnownBot, now_ns: int) -> str | None:
    """Hold the sender's own time, where it gives one, against the tenant's largest lag."""
    if "timenow" not in document:
        return None
    sent_ns = sent_at_ns(document)
    if sent_ns is None:
        return "expected timenow as an RFC 3339 time"
    lag_s = (now_ns - sent_ns) // SECOND_NS
    most_s = bot.webhooks.max_lag_s
    if lag_s > most_s or lag_s < -FUTURE_SKEW_S:
        return f"expected timenow within {most_s} s of now, was {lag_s} s old"
    return None


def _proven(
    bot: KnownBot,
    raw: bytes,
    document: dict[str, Any] | None,
    own_id: str | None,
    now_ns: int,
    stale: str | None,
    correlation_id: str,
    again: _Again,
) -> _Proven:
    scope = Scope(bot.tenant_id, Actor("bot", bot.bot_id, Role.BOT), correlation_id)
    key = idempotency_key(bot.bot_id, own_id, raw)
    digest = hashlib.sha256(raw).digest()
    return _Proven(bot, scope, raw, document, key, digest, now_ns, stale, again)


async def _check(ports: Ports, proven: _Proven) -> tuple[Signal, str] | Refused:
    """Time, limits, schema, then account, symbol and permission."""
    bot = proven.bot
    if proven.stale is not None:
        return Refused("stale_timestamp", proven.stale)
    account_id = _account_of(proven)
    taken = await ports.signal_limits.take(
        bot.tenant_id, bot.bot_id, account_id or bot.default_account_id, bot.limits
    )
    if taken.exceeded is not None:
        limit = getattr(bot.limits, taken.exceeded)
        return Refused(
            "rate_limited",
            f"expected at most {limit.per_minute} signals a minute for this {taken.exceeded}",
            retry_after_s=max(1, -(-taken.retry_after_ms // 1000)),
        )
    if taken.stamp != bot.stamp:
        fresh = await proven.again()
        if fresh is None:
            return _NO_LONGER
        bot = fresh
    if proven.document is None:
        return Refused("malformed", "expected a JSON object in UTF-8 without repeated keys")
    signal = parse_signal(proven.document)
    if isinstance(signal, tuple):
        named = ", ".join(problem.pointer for problem in signal)
        return Refused("invalid_fields", f"fields not as expected: {named}", problems=signal)
    return _permitted(ports, bot, signal)


def _account_of(proven: _Proven) -> str | None:
    """Return the account whose bucket counts: the one named, if the bot may trade it."""
    named = None if proven.document is None else proven.document.get("accountId")
    return named if isinstance(named, str) and named in proven.bot.accounts else None


def _permitted(ports: Ports, bot: KnownBot, signal: Signal) -> tuple[Signal, str] | Refused:
    if bot.status != "active":
        return Refused("bot_disabled", "the bot is disabled")
    account_id = signal.account_id or bot.default_account_id
    account = bot.accounts.get(account_id)
    if account is None:
        return Refused("unknown_account", "no such account for this bot")
    if account.status in ("disabled", "closed"):
        return Refused("account_disabled", f"the account is {account.status}")
    if signal.symbol is None:
        return signal, account_id
    ticker = bot.webhooks.tickers.get(signal.symbol, signal.symbol)
    instrument = ports.catalog.find(ticker)
    closes = signal.action in ("close", "flat", "cancel_all")
    if instrument is None or not (closes or instrument.symbol in account.symbols):
        problem = Problem("/symbol", "an instrument of this account", signal.symbol)
        return Refused("unknown_symbol", f"no instrument {signal.symbol}", problems=(problem,))
    return signal.for_symbol(instrument.symbol), account_id


async def _first_of(ports: Ports, proven: _Proven) -> Receipt | Refused | None:
    """Answer a refused attempt as the duplicate it may be; None when it is the first."""
    bot_id = proven.bot.bot_id
    first = await ports.inbox.find(proven.scope, "bot", bot_id, proven.key, proven.digest)
    return None if first is None else await _duplicate(ports, proven, first)


async def _duplicate(ports: Ports, proven: _Proven, first: Accepted) -> Receipt | Refused:
    if first.same_body:
        return Receipt(first.signal_id, duplicate=True)
    conflict = Refused("body_conflict", "the same id came before with another body")
    return await _refuse(ports, proven, conflict)


async def _refuse(ports: Ports, proven: _Proven, refused: Refused) -> Refused:
    """Record the refusal of an authenticated attempt; it holds no key, so a retry may succeed."""
    payload: dict[str, Any] = {"detail": refused.detail, "bodyDigest": proven.digest.hex()}
    if refused.problems:
        payload["errors"] = [
            {"pointer": problem.pointer, "expected": problem.expected, "got": problem.got}
            for problem in refused.problems
        ]
    signal_id = ports.ids.new_id()
    command = NewCommand(
        signal_id=signal_id,
        account_id=None,
        source_kind="bot",
        source_id=proven.bot.bot_id,
        idempotency_key=hashlib.sha256(b"refused\x00" + signal_id.encode()).digest(),
        body_digest=proven.digest,
        name=REFUSE_SIGNAL,
        payload=payload,
        received_ns=proven.now_ns,
        outcome="refused",
        reason=refused.slug,
    )
    await ports.inbox.accept(proven.scope, command)
    return Refused(
        refused.slug,
        refused.detail,
        recorded=True,
        problems=refused.problems,
        retry_after_s=refused.retry_after_s,
        signal_id=signal_id,
    )


def _command(ports: Ports, proven: _Proven, account_id: str, payload: dict[str, Any]) -> NewCommand:
    return NewCommand(
        signal_id=ports.ids.new_id(),
        account_id=account_id,
        source_kind="bot",
        source_id=proven.bot.bot_id,
        idempotency_key=proven.key,
        body_digest=proven.digest,
        name=TRADE,
        payload=payload,
        received_ns=proven.now_ns,
    )
