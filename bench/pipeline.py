"""The load generator: an open loop of signed signals, and what came of each.

Run as `python -m bench.pipeline < ORDER`: an order is one JSON object (see Order), the answer one
JSON object on the standard output. A process of its own, so that its cost can be told.
"""

import asyncio
import gc
import json
import resource
import sys
import time
import urllib.request
from dataclasses import dataclass
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit

import uvloop

from bench.client import NOW, Requests, Subscriber, Tally
from quantlab.webhooks.signature import sign

ANSWERS_WAIT_S: Final = 60.0
# A cold function of a cloud unpacks its layers before its first answer.
COLD_S: Final = 60.0
EVENTS_WAIT_S: Final = 30.0
LATE_S: Final = 1.0
POLL_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Order:
    """What to send where. tenants: apiKey, accounts[]; bots: botId, secret, in sending order."""

    url: str
    ws_url: str
    rate: float
    seconds: float
    run: str
    symbols: list[str]
    tenants: list[dict[str, Any]]
    bots: list[dict[str, Any]]
    connections: int = 32
    batched: bool = False


def prepared(order: Order) -> list[bytes]:
    """Write and sign every request beforehand: signing is the sender's cost, not the platform's."""
    now_s = int(time.time())
    address = urlsplit(order.url)
    total = int(order.rate * order.seconds)
    requests = []
    for number in range(total):
        bot = order.bots[(number * 37) % len(order.bots)]
        turn = number // len(order.bots)
        body = json.dumps(
            {
                "id": f"{order.run}-{number}",
                "symbol": order.symbols[turn // 2 % len(order.symbols)],
                "action": "buy" if turn % 2 == 0 else "sell",
                "quantity": "0.10",
            }
        ).encode()
        head = (
            f"POST {address.path}/webhooks/signals HTTP/1.1\r\nHost: {address.netloc}\r\n"
            "Content-Type: application/json\r\n"
            f"X-Bot-Id: {bot['botId']}\r\nX-Signature: {sign(bot['secret'], now_s, body)}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        requests.append(head + body)
    return requests


async def run(order: Order) -> dict[str, Any]:
    """Send on schedule, wait for answers and events, and say what was seen."""
    began = time.process_time()
    queue = prepared(order)
    sign_us = 1e6 * (time.process_time() - began) / max(1, len(queue))
    tally = Tally()
    requests = Requests(tally)
    subscribers = await _subscribed(order, tally)
    await requests.connect(urlsplit(order.url).port or 80, order.connections)
    gc.collect()
    gc.freeze()
    gc.disable()
    cpu = time.process_time()
    start = NOW()
    await _send_all(order, queue, requests, start)
    await _until(lambda: requests.answered >= len(queue) or tally.connections_lost, ANSWERS_WAIT_S)
    sent_s = NOW() - start
    await _until(lambda: len(tally.executed_at) >= len(tally.due), EVENTS_WAIT_S)
    drained_s = NOW() - start - sent_s
    cpu_s = time.process_time() - cpu
    lost = tally.connections_lost
    for subscriber in subscribers:
        subscriber.close()
    tally.connections_lost = lost
    return _result(order, tally, len(queue), sent_s, drained_s, cpu_s, sign_us)


async def _subscribed(order: Order, tally: Tally) -> list[Subscriber]:
    loop = asyncio.get_running_loop()
    subscribers = []
    for tenant in order.tenants:
        ticket = await asyncio.to_thread(_ticket, order.url, tenant["apiKey"])
        _, subscriber = await loop.create_connection(
            lambda ticket=ticket, tenant=tenant: Subscriber(  # type: ignore[misc]
                order.ws_url, ticket, tenant["accounts"], tally, batched=order.batched
            ),
            "127.0.0.1",
            urlsplit(order.ws_url).port,
        )
        subscribers.append(subscriber)
    await asyncio.wait_for(asyncio.gather(*(one.ready for one in subscribers)), COLD_S)
    return subscribers


def _ticket(url: str, api_key: str) -> str:
    request = urllib.request.Request(  # noqa: S310 - the platform under measurement
        f"{url}/socket-tickets", method="POST", headers={"X-Api-Key": api_key}
    )
    with urllib.request.urlopen(request, timeout=COLD_S) as answer:  # noqa: S310 - the same
        return str(json.load(answer)["ticket"])


async def _send_all(order: Order, queue: list[bytes], requests: Requests, start: float) -> None:
    total, rate = len(queue), order.rate
    sent = 0
    while sent < total:
        now = NOW()
        while sent < total and (due := start + sent / rate) <= now:
            requests.send(due, queue[sent])
            sent += 1
        if sent < total:
            await asyncio.sleep(max(0.0, start + sent / rate - NOW()))


async def _until(reached: Any, wait_s: float) -> None:
    deadline = NOW() + wait_s
    for _ in count():
        if reached() or NOW() > deadline:
            return
        await asyncio.sleep(POLL_S)


def _result(
    order: Order,
    tally: Tally,
    total: int,
    sent_s: float,
    drained_s: float,
    cpu_s: float,
    sign_us: float,
) -> dict[str, Any]:
    events_s = [
        tally.executed_at[signal_id] - due
        for signal_id, due in tally.due.items()
        if signal_id in tally.executed_at
    ]
    return {
        "rate": order.rate,
        "seconds": order.seconds,
        "sent": total,
        "rate_reached": round(len(tally.accepted_s) / sent_s, 1),
        "codes": {str(code): number for code, number in sorted(tally.codes.items())},
        "refusals": tally.refusals,
        "unanswered": total - sum(tally.codes.values()),
        "accept_ms": percentiles(tally.accepted_s),
        "event_ms": percentiles(events_s),
        "events_lost": len(tally.due) - len(events_s),
        "events_late": sum(one > LATE_S for one in events_s),
        "rejected": tally.rejected,
        "socket_messages": tally.events,
        "seq_gaps": tally.gaps,
        "seq_repeated": tally.repeated,
        "resyncs": tally.resyncs,
        "connections_lost": tally.connections_lost,
        "drain_s": round(drained_s, 2),
        "client_us": round(1e6 * cpu_s / max(1, total)),
        "client_sign_us": round(sign_us, 1),
        "client_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def percentiles(seconds: list[float]) -> dict[str, float | None]:
    """Return p50, p99, p99.9 and the largest in milliseconds."""
    ordered = sorted(seconds)

    def at(share: float) -> float | None:
        if not ordered:
            return None
        return round(1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)

    return {"p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": at(1.0)}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(Order(**json.load(sys.stdin))))))
