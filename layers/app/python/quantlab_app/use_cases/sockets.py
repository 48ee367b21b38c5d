"""Sockets: who may open one, what it may listen to, and the past it may read again.

It must not know how a message travels: API Gateway and the self-hosted hub both stand on it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Final

from quantlab.kernel.records import dataclass, replace
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import NotFound
from quantlab_app.ports.sessions import TicketHolder
from quantlab_app.ports.sockets import Channel, ChannelKind, LoggedEvent, Progress, StreamHead
from quantlab_app.use_cases import identity

CONNECTIONS_PER_TENANT_MAX: Final = 1_000
SUBSCRIPTIONS_MAX: Final = 200
TICKET_CHARS_MAX: Final = 256

_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_NAME = re.compile(
    rf"(?:(account|backtest):({_ID})|(quotes):([A-Z0-9._-]{{1,32}})"
    r"|(bars):([A-Z0-9._-]{1,32}):1m)\Z"
)


class SocketRefusal(StrEnum):
    """Why a socket or a channel is refused, in order of precedence."""

    UNAUTHORIZED = "unauthorized"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    NOT_FOUND = "not_found"
    TOO_MANY_SUBSCRIPTIONS = "too_many_subscriptions"


@dataclass(frozen=True, slots=True)
class Grant:
    """A channel that may be listened to.

    For an account head_seq is its newest event and after_seq the event to go on after; an
    after_seq beyond head_seq names a past that never was, so it is given as None.
    """

    channel: Channel
    head_seq: int = 0
    after_seq: int | None = 0

    @property
    def start(self) -> Progress:
        """Return where the channel begins."""
        return Progress(0, loose=True) if self.after_seq is None else Progress(self.after_seq)


@dataclass(frozen=True, slots=True)
class Subscribed:
    """What became of a wish to subscribe, channel by channel."""

    granted: tuple[Grant, ...] = ()
    refused: Mapping[str, SocketRefusal] = field(default_factory=dict)


def parse_channel(name: str) -> Channel | None:
    """Read a channel's name; None for anything that is not one."""
    match = _NAME.match(name)
    if match is None:
        return None
    kind, key = (part for part in match.groups() if part is not None)
    return Channel(ChannelKind(kind), key, name)


async def open_socket(
    ports: Ports, connection_id: str, ticket: str, *, batched: bool = False
) -> TicketHolder | SocketRefusal:
    """Redeem a ticket and record the connection it opens."""
    if not 0 < len(ticket) <= TICKET_CHARS_MAX:
        return SocketRefusal.UNAUTHORIZED
    holder = await ports.tickets.redeem(ticket)
    if holder is None or not await identity.still_stands(ports, holder):
        return SocketRefusal.UNAUTHORIZED
    holder = replace(holder, batched=batched)
    if not await ports.subscriptions.open(holder, connection_id, CONNECTIONS_PER_TENANT_MAX):
        return SocketRefusal.TOO_MANY_CONNECTIONS
    return holder


async def subscribe(
    ports: Ports,
    holder: TicketHolder,
    connection_id: str,
    channels: Sequence[Channel],
    after_seq: Mapping[str, int],
) -> Subscribed:
    """Check every channel against the holder's tenant and role, and record those allowed."""
    keys = {kind: [one.key for one in channels if one.kind is kind] for kind in ChannelKind}
    heads = await _visible_accounts(ports, holder.scope, keys[ChannelKind.ACCOUNT])
    symbols = keys[ChannelKind.QUOTES] + keys[ChannelKind.BARS]
    listed = await _visible_symbols(ports, holder.scope, symbols)
    runs = await _visible_backtests(ports, holder.scope, keys[ChannelKind.BACKTEST])
    seen = {ChannelKind.QUOTES: listed, ChannelKind.BARS: listed, ChannelKind.BACKTEST: runs}
    granted = []
    refused = {}
    for channel in channels:
        if channel.kind is ChannelKind.ACCOUNT and channel.key in heads:
            granted.append(_account_grant(channel, heads[channel.key].seq, after_seq))
        elif channel.kind is not ChannelKind.ACCOUNT and channel.key in seen[channel.kind]:
            granted.append(Grant(channel))
        else:
            refused[channel.name] = SocketRefusal.NOT_FOUND
    starts = {grant.channel.name: grant.start for grant in granted}
    add = ports.subscriptions.add
    if starts and not await add(holder, connection_id, starts, SUBSCRIPTIONS_MAX):
        full = dict.fromkeys(starts, SocketRefusal.TOO_MANY_SUBSCRIPTIONS)
        return Subscribed((), {**refused, **full})
    return Subscribed(tuple(granted), refused)


def _account_grant(channel: Channel, head_seq: int, after_seq: Mapping[str, int]) -> Grant:
    wanted = after_seq.get(channel.name, head_seq)
    return Grant(channel, head_seq, wanted if wanted <= head_seq else None)


async def _visible_accounts(
    ports: Ports, scope: Scope, account_ids: Sequence[str]
) -> Mapping[str, StreamHead]:
    if not account_ids or not scope.may(Permission.ACCOUNTS_READ):
        return {}
    heads = await ports.event_log.heads(scope, account_ids)
    return {key: head for key, head in heads.items() if _may_see(scope, head.user_id)}


def _may_see(scope: Scope, owner_id: str | None) -> bool:
    if not scope.owns_only:
        return True
    return scope.actor.kind == "user" and owner_id == scope.actor.id


async def _visible_symbols(ports: Ports, scope: Scope, symbols: Sequence[str]) -> frozenset[str]:
    if not symbols or not scope.may(Permission.MARKET_READ):
        return frozenset()
    try:
        config = await ports.tenant_configs.current(scope)
    except NotFound:
        return frozenset()
    return frozenset(config.instruments)


async def _visible_backtests(
    ports: Ports, scope: Scope, backtest_ids: Sequence[str]
) -> frozenset[str]:
    if not backtest_ids or not scope.may(Permission.BACKTESTS_READ):
        return frozenset()
    found = [await ports.backtests.find(scope, backtest_id) for backtest_id in backtest_ids]
    return frozenset(
        one.backtest_id for one in found if one is not None and _may_see(scope, one.user_id)
    )


async def unsubscribe(
    ports: Ports, holder: TicketHolder, connection_id: str, channels: Iterable[Channel]
) -> tuple[str, ...]:
    """Forget channels of a connection and return their names."""
    names = tuple(channel.name for channel in channels)
    await ports.subscriptions.remove(holder, connection_id, names)
    return names


async def close_socket(ports: Ports, holder: TicketHolder, connection_id: str) -> None:
    """Forget a connection and everything it listened to."""
    await ports.subscriptions.close(holder, connection_id)


async def restore_socket(
    ports: Ports, holder: TicketHolder, connection_id: str, channels: Mapping[str, Progress]
) -> None:
    """Record again a connection that is still open, after the store may have lost it."""
    await ports.subscriptions.open(holder, connection_id, CONNECTIONS_PER_TENANT_MAX)
    if channels:
        await ports.subscriptions.add(holder, connection_id, channels, SUBSCRIPTIONS_MAX)


async def account_events(
    ports: Ports, scope: Scope, account_id: str, after_seq: int, limit: int
) -> Sequence[LoggedEvent]:
    """Return an account's events after a sequence number, oldest first; NotFound if hidden."""
    heads = await _visible_accounts(ports, scope, [account_id])
    if account_id not in heads:
        raise NotFound(f"account {account_id}")
    return await ports.event_log.events_after(scope, account_id, after_seq, limit)
