"""The line that `make up` prints, pasted into a shell: a signal becomes a fill that is watched."""

import asyncio
import json
import shutil
import subprocess
from decimal import Decimal
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.load_house import catalog_of, settled
from tests.support.running_platform import ANSWER_S, Document, Platform

pytestmark = [
    pytest.mark.stack,
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl"),
]
STORY = [
    "webhook.received",
    "webhook.validated",
    "order.accepted",
    "order.filled",
    "position.opened",
    "webhook.trade_executed",
]


async def test_the_pasted_curl_trades_at_the_quote_of_the_moment(running: Platform) -> None:
    tenant = running.demo["tenants"][0]
    account_id = tenant["bots"][0]["accountId"]
    await settled(running)
    _flatten(running, tenant, account_id)
    await settled(running)
    url = await _socket_url(running, tenant)
    async with connect(url, open_timeout=ANSWER_S, close_timeout=1) as socket:
        await _subscribe(socket, f"account:{account_id}")
        seq_before = _quote_seq(running)
        said = _paste(running.demo["curl"])
        assert said["status"] == "accepted"
        events = await _events_of(socket, said["signalId"])
        seq_after = _quote_seq(running)
    assert [event["eventType"] for event in events] == STORY
    filled = next(e["payload"] for e in events if e["eventType"] == "order.filled")
    assert seq_before <= filled["quote"]["seq"] <= seq_after
    _assert_fill_is_of_its_quote(running, filled)
    _assert_same_story_in_rest(running, tenant, account_id, said["signalId"], filled)


def _paste(line: str) -> Document:
    done = subprocess.run(
        ("bash", "-c", line), capture_output=True, text=True, timeout=60, check=True
    )
    return dict(json.loads(done.stdout))


def _flatten(running: Platform, tenant: Document, account_id: str) -> None:
    """Close what an earlier test left open, so that the story is that of a first trade."""
    answer = httpx.post(
        f"{running.url}/tenants/{tenant['tenantId']}/accounts/{account_id}/orders",
        headers={"X-Api-Key": tenant["apiKey"]},
        json={"action": "flat"},
        timeout=ANSWER_S,
    )
    assert answer.is_success or answer.json()["type"].endswith("/no_position"), answer.text


async def _socket_url(running: Platform, tenant: Document) -> str:
    headers = {"X-Api-Key": tenant["apiKey"]}
    async with httpx.AsyncClient(base_url=running.url, headers=headers, timeout=ANSWER_S) as client:
        ticket = (await client.post("/socket-tickets")).json()["ticket"]
    return f"{running.demo['wsUrl']}?ticket={ticket}"


async def _subscribe(socket: ClientConnection, channel: str) -> None:
    await socket.send(json.dumps({"action": "subscribe", "channels": [channel]}))
    said = json.loads(await asyncio.wait_for(socket.recv(), ANSWER_S))
    assert (said["type"], said["channels"]) == ("subscribed", [channel])


async def _events_of(socket: ClientConnection, signal_id: str) -> list[Document]:
    """Return the account's events up to the end of the signal, in gapless order."""
    seqs: list[int] = []
    events: list[Document] = []
    while not events or events[-1]["eventType"] != "webhook.trade_executed":
        said = json.loads(await asyncio.wait_for(socket.recv(), ANSWER_S))
        assert said["type"] == "event", said
        seqs.append(said["seq"])
        events.append(said["event"])
        assert said["event"]["eventType"] != "webhook.rejected", said
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert events[-1]["payload"]["signalId"] == signal_id
    return events


def _quote_seq(running: Platform) -> int:
    """Return the newest seq that may have been seen: that of the log, written before all else."""
    with running.database() as connection:
        row = connection.execute(
            "select seq from tick where symbol = 'EURUSD' order by ts_ns desc, seq desc limit 1"
        ).fetchone()
    assert row is not None
    return int(row["seq"])


def _assert_fill_is_of_its_quote(running: Platform, filled: Document) -> None:
    eurusd = catalog_of(running).instruments["EURUSD"]
    with running.database() as connection:
        tick = connection.execute(
            "select bid_ticks, ask_ticks from tick where symbol = 'EURUSD' and seq = %s",
            (filled["quote"]["seq"],),
        ).fetchone()
    assert tick is not None
    quoted = (Decimal(filled["quote"]["bid"]), Decimal(filled["quote"]["ask"]))
    assert quoted == (tick["bid_ticks"] * eurusd.tick, tick["ask_ticks"] * eurusd.tick)
    assert Decimal(filled["price"]) == quoted[1] + eurusd.slippage_ticks * eurusd.tick
    assert Decimal(filled["quantity"]) == Decimal("0.10")


def _assert_same_story_in_rest(
    running: Platform, tenant: Document, account_id: str, signal_id: str, filled: Document
) -> None:
    base = f"{running.url}/tenants/{tenant['tenantId']}"
    headers = {"X-Api-Key": tenant["apiKey"]}
    with httpx.Client(base_url=base, headers=headers, timeout=ANSWER_S) as client:
        signal: dict[str, Any] = client.get(f"/signals/{signal_id}").json()
        fills = client.get(f"/accounts/{account_id}/fills").json()["items"]
    timeline = [entry["event"] for entry in signal["timeline"]]
    assert [event for event in timeline if event.startswith("webhook.")] == [
        "webhook.received",
        "webhook.validated",
        "webhook.trade_executed",
    ]
    assert filled["fillId"] in {fill["fillId"] for fill in fills}
