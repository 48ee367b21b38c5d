"""The host of sockets that a gateway holds for us: functions grant channels, this posts to them.

What the functions have recorded of a connection is the truth; their control messages only say when
to look. Whatever is missed on the bus is found again by looking at all that is recorded.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Final

import structlog

from quantlab.tenancy.scope import system_scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.sockets import Channel, ChannelKind, OpenConnection, Progress
from quantlab_app.use_cases import sockets
from quantlab_app.use_cases.waiting import end_all, run_until
from quantlab_edge.hub_fanout import Fanout
from quantlab_edge.hub_gateway import RETRY_S_MAX, RETRY_S_MIN, GatewayConnection
from quantlab_edge.hub_room import Room
from quantlab_edge.socket import CLOSE_OVERLOADED, Control, read_control

NOTE_EVERY_S: Final = 1.0
NOTES_PER_ROUND: Final = 15
DRAIN_S: Final = 3.0
DRAIN_LOOK_S: Final = 0.01
RETRY_S: Final = 0.2
ACTOR: Final = "socket_push"

_log = structlog.get_logger(__name__)

_Start = tuple[GatewayConnection, Channel, Progress]


class _Errand(Enum):
    """What is done now and then: note how far every connection is, look at all that is recorded.

    A round looks as well, but leaves what has only just been recorded to its control message,
    which comes when the client has its answer.
    """

    NOTE = "note"
    LOOK = "look"
    ROUND = "round"


class PushHub:
    """Posts events, quotes and bars to every recorded connection.

    Errands are done one after another, so that none sees what another has half done.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._room = Room(ports, Fanout(ports, self._on_attached, self._on_control))
        self._held: dict[str, tuple[GatewayConnection, asyncio.Task[None]]] = {}
        self._errands: asyncio.Queue[Control | _Errand] = asyncio.Queue()
        self._waiting: set[tuple[str, str, Progress]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until told to stop; then let another go on where this one ends."""
        try:
            await run_until(stop, (*self._room.works(), self._do_errands(), self._tick()))
        finally:
            await self._settle()

    def _on_attached(self, again: bool) -> None:
        _log.info("sockets_attached", again=again)
        self._errands.put_nowait(_Errand.LOOK)

    def _on_control(self, body: bytes) -> None:
        self._errands.put_nowait(read_control(body))

    async def _tick(self) -> None:
        count = 0
        while True:
            await asyncio.sleep(NOTE_EVERY_S)
            count += 1
            if self._errands.empty():
                turn = count % NOTES_PER_ROUND == 0
                self._errands.put_nowait(_Errand.ROUND if turn else _Errand.NOTE)

    async def _do_errands(self) -> None:
        while True:
            errand = await self._errands.get()
            try:
                if isinstance(errand, Control):
                    await self._obey(errand)
                elif errand is _Errand.NOTE:
                    await self._note(exact=False)
                else:
                    await self._look(patient=errand is _Errand.ROUND)
            except StoreUnavailable as fault:
                _log.warning("sockets_not_looked_at", cause=str(fault))
                await asyncio.sleep(RETRY_S)
                self._errands.put_nowait(_Errand.LOOK)

    async def _obey(self, control: Control) -> None:
        if control.closed:
            await self._let_go(control.connection_id)
            return
        record = await self._ports.subscriptions.connection(
            control.tenant_id, control.connection_id
        )
        if record is not None:
            heads = {grant.channel.key: grant.head_seq for grant in control.granted}
            await self._begin(self._adopt(record), heads)

    async def _look(self, *, patient: bool = False) -> None:
        """Take over every recorded connection, and end those whose record is gone."""
        records = await self._ports.subscriptions.connections()
        recorded = {record.connection_id for record in records}
        mine = [held for held, _ in self._held.values() if not held.closing]
        unrecorded = [held for held in mine if held.connection_id not in recorded]
        if unrecorded and len(unrecorded) == len(mine):
            await self._room.restore()  # it is the store that has forgotten
        else:
            for connection in unrecorded:
                connection.close(CLOSE_OVERLOADED, "not recorded")
        starts = [start for record in records for start in self._adopt(record)]
        names = [(s[0].connection_id, s[1].name, s[2]) for s in starts]
        seen, self._waiting = self._waiting, set(names)
        due = [s for s, name in zip(starts, names, strict=True) if not patient or name in seen]
        await self._begin(due, {})

    def _adopt(self, record: OpenConnection) -> list[_Start]:
        """Hold a connection as it is recorded; return the channels to begin."""
        connection = self._connection(record)
        if connection.closing:
            return []
        for name in set(connection.channels) - record.channels.keys():
            self._room.fanout.drop(connection, name)
            connection.marks.pop(name, None)
        starts = []
        for name, progress in record.channels.items():
            channel = sockets.parse_channel(name)
            if channel is None:
                continue
            if not _is_served(connection, channel, progress):
                starts.append((connection, channel, progress))
        return starts

    async def _begin(self, starts: Sequence[_Start], heads: Mapping[str, int]) -> None:
        """Begin channels, each account's once it is recorded that events may have been sent."""
        feeds = [start for start in starts if start[1].kind is ChannelKind.ACCOUNT]
        heads = {**heads, **await self._heads(s for s in feeds if s[1].key not in heads)}
        steps: dict[GatewayConnection, dict[str, tuple[Progress, Progress]]] = defaultdict(dict)
        for connection, channel, progress in feeds:
            if channel.key in heads:
                loose = Progress(progress.seq, loose=True)
                steps[connection][channel.name] = (progress, loose)
        moved = {
            (connection, name)
            for connection, ahead in steps.items()
            for name in await self._advance(connection, ahead)
        }
        for connection, channel, progress in starts:
            head_seq = heads.get(channel.key, 0)
            ready = channel.kind is not ChannelKind.ACCOUNT or (connection, channel.name) in moved
            if ready and not connection.closing:
                self._room.fanout.begin(connection, channel, progress, head_seq)

    async def _heads(self, starts: Iterable[_Start]) -> dict[str, int]:
        wanted: dict[str, set[str]] = defaultdict(set)
        for connection, channel, _ in starts:
            wanted[connection.holder.scope.tenant_id].add(channel.key)
        heads: dict[str, int] = {}
        for tenant_id, account_ids in wanted.items():
            scope = system_scope(tenant_id, ACTOR, ACTOR)
            found = await self._ports.event_log.heads(scope, sorted(account_ids))
            heads |= {account_id: head.seq for account_id, head in found.items()}
        return heads

    async def _note(self, *, exact: bool) -> None:
        for connection, _ in list(self._held.values()):
            steps = connection.unmarked(exact=exact)
            if steps and not connection.closing:
                await self._advance(connection, steps)

    async def _advance(
        self, connection: GatewayConnection, steps: Mapping[str, tuple[Progress, Progress]]
    ) -> frozenset[str]:
        moved = await self._ports.subscriptions.advance(
            connection.holder, connection.connection_id, steps
        )
        connection.marks |= {name: steps[name][1] for name in moved}
        return moved

    def _connection(self, record: OpenConnection) -> GatewayConnection:
        held = self._held.get(record.connection_id)
        if held is not None:
            return held[0]
        now_s = asyncio.get_running_loop().time()
        connection = GatewayConnection(record, self._ports.pushes, now_s)
        self._room.join(connection)
        task = asyncio.create_task(self._hold(connection))
        self._held[record.connection_id] = (connection, task)
        task.add_done_callback(lambda _: self._leave(connection))
        return connection

    def _leave(self, connection: GatewayConnection) -> None:
        self._room.leave(connection)
        del self._held[connection.connection_id]

    async def _hold(self, connection: GatewayConnection) -> None:
        """Serve a connection; when it ends on our side, forget it and have it closed."""
        (error,) = await asyncio.gather(self._room.serve(connection), return_exceptions=True)
        if error is not None:
            _log.error("socket_broken", connection_id=connection.connection_id, exc_info=error)
        connection.close(CLOSE_OVERLOADED, "ended")
        pause_s = RETRY_S_MIN
        while not await self._forget(connection):
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_S_MAX)

    async def _forget(self, connection: GatewayConnection) -> bool:
        connection_id = connection.connection_id
        try:
            await sockets.close_socket(self._ports, connection.holder, connection_id)
            if not connection.gone:
                await self._ports.pushes.drop(connection_id)
        except StoreUnavailable as fault:
            _log.warning("drop_failed", connection_id=connection_id, cause=str(fault))
            return False
        return True

    async def _let_go(self, connection_id: str) -> None:
        """Forget a connection that the gateway has closed."""
        held = self._held.get(connection_id)
        if held is not None:
            connection, task = held
            await end_all({task})
            await sockets.close_socket(self._ports, connection.holder, connection_id)

    async def _settle(self) -> None:
        """Send what waits, and record exactly how far every connection is."""
        held = list(self._held.values())
        for connection, _ in held:
            for feed in connection.feeds.values():
                feed.dropped = True
        for _ in range(int(DRAIN_S / DRAIN_LOOK_S)):
            if all(connection.flushed for connection, _ in held):
                break
            await asyncio.sleep(DRAIN_LOOK_S)
        try:
            await self._note(exact=True)
        except StoreUnavailable as fault:
            _log.warning("sockets_not_settled", cause=str(fault))
        await end_all(task for _, task in held)


def _is_served(connection: GatewayConnection, channel: Channel, progress: Progress) -> bool:
    """Say whether a channel is being served from what is recorded on.

    A step whose answer was lost is told by a loose record that is not behind what was sent.
    """
    name = channel.name
    if channel.kind is not ChannelKind.ACCOUNT:
        return name in connection.symbols
    if connection.marks.get(name) == progress:
        return True
    feed = connection.feeds.get(name)
    if feed is None or not progress.loose or not 0 < progress.seq <= feed.sent:
        return False
    connection.marks[name] = progress
    return True
