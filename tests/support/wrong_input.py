"""An account with a bot of its own on a running platform, and what wrong input may leave of it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from psycopg import sql

from quantlab.webhooks.signature import sign
from quantlab_edge.problems import MEDIA_TYPE, PROBLEMS, TYPE_BASE
from tests.support.running_platform import ANSWER_S, Document, Platform, eventually

TENANT = "northwind-capital"
BUY = {"symbol": "EURUSD", "action": "buy", "quantity": "0.10"}
# Names of cases whose bytes are no text.
NO_TEXT = {"not UTF-8", "UTF-16"}
NOT_WRITTEN = ("orders", "fill", "ledger_entry", "position", "violation")


@dataclass
class House:
    """An account with its bot, and the doors to both."""

    made: Platform
    client: httpx.Client
    account_id: str
    bot: Document

    def order(self, **options: Any) -> httpx.Response:
        return self.client.post(f"accounts/{self.account_id}/orders", **options)

    def signal(self, raw: bytes, *, at_s: int | None = None, **headers: str) -> httpx.Response:
        moment = int(time.time()) if at_s is None else at_s
        sent = {
            "X-Bot-Id": self.bot["botId"],
            "X-Signature": sign(self.bot["secret"], moment, raw),
            "Content-Type": "application/json",
            **headers,
        }
        return httpx.post(
            f"{self.made.url}/webhooks/signals", content=raw, headers=sent, timeout=ANSWER_S
        )

    def written(self) -> Document:
        """Count what there is of this account and this bot."""
        with self.made.database() as connection:
            counts = {
                table: connection.execute(
                    sql.SQL("select count(*) as n from {} where account_id = %s").format(
                        sql.Identifier(table)
                    ),
                    (self.account_id,),
                ).fetchone()
                for table in (*NOT_WRITTEN, "inbox")
            }
            counts["refused"] = connection.execute(
                "select count(*) as n from inbox where source_id = %s and outcome = 'refused'",
                (self.bot["botId"],),
            ).fetchone()
            counts["event_seq"] = connection.execute(
                "select event_seq as n from account where account_id = %s", (self.account_id,)
            ).fetchone()
        return {name: row["n"] for name, row in counts.items() if row is not None}

    def ended(self, answer: httpx.Response) -> tuple[str, str]:
        """Wait for the end of an accepted signal and return its status and reason."""
        assert answer.status_code == 202, answer.text
        path = f"signals/{answer.json()['signalId']}"
        assert eventually(lambda: self.client.get(path).json()["status"] != "accepted")
        said = self.client.get(path).json()
        return said["status"], said["reason"]


@contextmanager
def opened(running: Platform) -> Iterator[House]:
    """Open an account with a bot."""
    tenant = next(one for one in running.demo["tenants"] if one["tenantId"] == TENANT)
    with httpx.Client(
        base_url=f"{running.url}/tenants/{TENANT}/",
        headers={"X-Api-Key": tenant["apiKey"]},
        timeout=ANSWER_S,
    ) as client:
        owner = tenant["accounts"][0]["userId"]
        account = client.post("accounts", json={"userId": owner, "accountType": "demo-100k"})
        assert account.status_code == 201, account.text
        account_id = account.json()["accountId"]
        bot = client.post("bots", json={"name": "wrong", "accountId": account_id})
        assert bot.status_code == 201, bot.text
        made = bot.json()
        yield House(running, client, account_id, {**made["bot"], **made})


def fields(**changed: Any) -> bytes:
    return json.dumps({**BUY, **changed}).encode()


def assert_problem(answer: httpx.Response, status: int, slug: str) -> Document:
    said = (answer.status_code, answer.headers["content-type"], answer.text)
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE), said
    document: Document = answer.json()
    assert document["type"] == TYPE_BASE + slug, said
    assert (document["status"], document["title"]) == PROBLEMS[slug]
    assert document["correlationId"] == answer.headers["x-correlation-id"]
    assert ("errors" in document) == (status == 422)
    return document


def assert_refused_once(house: House, before: Document, document: Document) -> None:
    """One record under the signal id, with its two events in the audit log; no trace elsewhere."""
    assert house.written() == {**before, "refused": before["refused"] + 1}
    path = f"signals/{document['signalId']}"
    assert eventually(lambda: len(house.client.get(path).json()["timeline"]) == 2)
    said = house.client.get(path).json()
    assert (said["status"], said["reason"]) == (
        "refused",
        document["type"].removeprefix(TYPE_BASE),
    )
    assert [entry["event"] for entry in said["timeline"]] == [
        "webhook.received",
        "webhook.rejected",
    ]


def counted(made: Platform) -> int:
    with made.database() as connection:
        row = connection.execute(
            "select coalesce(sum(attempts), 0)::bigint as n from unauthenticated_attempt"
        ).fetchone()
    assert row is not None
    return int(row["n"])
