"""Two tenants of one platform that both have everything, for those who probe what shows of it."""

import json
import time
from dataclasses import dataclass

import httpx

from quantlab.webhooks.signature import sign
from tests.support.probe import CALENDAR, Objects, credentials_of, objects_of
from tests.support.running_platform import Document, Platform, eventually

TENANTS = ("northwind-capital", "blue-harbor")


@dataclass(frozen=True)
class Street:
    """Two tenants that both have everything, and what the server says it can do."""

    made: Platform
    openapi: Document
    objects: dict[str, Objects]
    credentials: dict[str, dict[str, dict[str, str]]]


def settled_street(running: Platform) -> Street:
    """Let both tenants trade and ask for everything a tenant may."""
    for tenant in running.demo["tenants"]:
        _trade(running, tenant["bots"][0])
        _ask(running, tenant)
    objects = {name: objects_of(running, name) for name in TENANTS}
    credentials = {name: credentials_of(running, name) for name in TENANTS}
    openapi = httpx.get(f"{running.url}/openapi.json").json()
    return Street(running, openapi, objects, credentials)


def _trade(running: Platform, bot: Document) -> None:
    """Have one signal carried out, one rejected, one refused, and an order wait."""
    waiting = {"orderType": "limit", "price": "0.50000"}
    for body in (
        {"symbol": "EURUSD", "action": "buy", "quantity": "0.10", **waiting},
        {"symbol": "EURUSD", "action": "buy", "quantity": "0.10"},
        {"symbol": "EURUSD", "action": "buy", "quantity": "99999"},
        {"symbol": "NOPE", "action": "buy", "quantity": "1"},
    ):
        raw = json.dumps({**body, "clientId": str(time.time_ns())}).encode()
        headers = {
            "X-Bot-Id": bot["botId"],
            "X-Signature": sign(bot["secret"], int(time.time()), raw),
        }
        answer = httpx.post(f"{running.url}/webhooks/signals", content=raw, headers=headers)
        assert answer.status_code in (202, 422), answer.text
    with running.database() as connection:
        assert eventually(
            lambda: (
                (
                    connection.execute(
                        "select count(distinct status) as n from orders where account_id = %s",
                        (bot["accountId"],),
                    ).fetchone()
                    or {}
                ).get("n")
                == 2
            )
        )


def _ask(running: Platform, tenant: Document) -> None:
    """Ask for what takes two, link accounts, bring a calendar, halt a symbol, mark a tick bad."""
    headers = {"X-Api-Key": tenant["apiKey"]}
    accounts = [one["accountId"] for one in tenant["accounts"]]
    base = f"{running.url}/tenants/{tenant['tenantId']}"
    asked = httpx.post(
        f"{base}/accounts/{accounts[-1]}/reset", json={"reason": "probe"}, headers=headers
    )
    assert asked.status_code in (201, 409), asked.text
    group = f"{base}/link-groups/pair-{tenant['tenantId'][0]}"
    linked = httpx.put(group, json={"accountIds": accounts[:2]}, headers=headers)
    assert linked.status_code == 200, linked.text
    with running.database() as connection:
        row = connection.execute(
            "select max(quote_seq) as seq from fill where tenant_id = %s and symbol = 'EURUSD'",
            (tenant["tenantId"],),
        ).fetchone()
    assert row is not None
    bad = {"symbol": "EURUSD", "fromSeq": row["seq"], "toSeq": row["seq"], "reason": "probe"}
    marked = httpx.post(f"{base}/bad-ticks", json=bad, headers=headers)
    assert marked.status_code == 201, marked.text
    halted = httpx.put(f"{base}/market/GBPUSD/halt", json={"reason": "probe"}, headers=headers)
    assert halted.is_success, halted.text
    told = httpx.put(f"{base}/news-calendar", json=CALENDAR, headers=headers)
    assert told.status_code == 200, told.text
