"""The body of a refusal, to the byte: whatever hosts the platform says the same."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from quantlab.webhooks.body import ACTIONS
from quantlab.webhooks.signature import sign
from quantlab_app.ports.identity import AccessClaims
from quantlab_edge.problems import MEDIA_TYPE, PROBLEMS
from tests.support.load_house import ALPHA, BETA
from tests.support.running_platform import ANSWER_S, Document, Platform

pytestmark = [pytest.mark.stack, pytest.mark.e2e]
NOBODY = "00000000-0000-7000-8000-000000000000"
BODY = b'{"id":"p","symbol":"EURUSD","action":"buy","quantity":"0.10"}'


@dataclass
class Doors:
    """A running platform as strangers, a trader and two tenants' programs reach it."""

    client: httpx.AsyncClient
    alpha: Document
    beta: Document
    expired: str

    @property
    def account(self) -> str:
        return f"/tenants/{ALPHA}/accounts/{self.alpha['accounts'][0]['accountId']}"

    def signed(self, secret: str, at_s: int) -> dict[str, str]:
        return {
            "X-Bot-Id": self.alpha["bots"][0]["botId"],
            "X-Signature": sign(secret, at_s, BODY),
            "Content-Type": "application/json",
        }


@pytest.fixture(scope="module")
def expired(running: Platform) -> str:
    """Return an access token that stood until an hour ago."""
    user = next(one for one in running.demo["tenants"] if one["tenantId"] == ALPHA)["users"][0]
    now_s = int(time.time())
    claims = AccessClaims(
        subject=user["userId"],
        session_id=NOBODY,
        tenant_id=ALPHA,
        home_tenant_id=ALPHA,
        role="tenant_admin",
        issued_ns=(now_s - 7200) * 10**9,
        expires_ns=(now_s - 3600) * 10**9,
    )

    async def issued() -> str:
        async with running.ports() as ports:
            return await ports.access_tokens.issue(claims)

    return asyncio.run(issued())


@pytest.fixture
async def doors(running: Platform, expired: str) -> AsyncIterator[Doors]:
    tenants = {one["tenantId"]: one for one in running.demo["tenants"]}
    async with httpx.AsyncClient(base_url=running.url, timeout=ANSWER_S) as client:
        yield Doors(client, tenants[ALPHA], tenants[BETA], expired)


NOTHING = "There is nothing here."
UNAUTHORIZED = "Expected an access token that stands, or an API key that stands."
Ask = Callable[[Doors], dict[str, Any]]


def get(path: str, **headers: str) -> dict[str, Any]:
    return {"method": "GET", "url": path, "headers": headers}


def post_signal(doors: Doors, secret: str, late_s: int = 0, **changed: str) -> dict[str, Any]:
    headers = {**doors.signed(secret, int(time.time()) - late_s), **changed}
    return {"method": "POST", "url": "/webhooks/signals", "content": BODY, "headers": headers}


CASES: dict[str, tuple[Ask, int, str, str, Document]] = {
    "a wrong signature": (
        lambda doors: post_signal(doors, "whsec_" + "A" * 43 + "="),
        401,
        "bad_signature",
        "expected a signature of the raw body by this bot",
        {},
    ),
    "no signature": (
        lambda _: {"method": "POST", "url": "/webhooks/signals", "content": BODY},
        401,
        "bad_signature",
        "expected the header X-Bot-Id, was absent",
        {},
    ),
    "an unknown bot": (
        lambda doors: post_signal(doors, doors.alpha["bots"][0]["secret"], **{"X-Bot-Id": NOBODY}),
        401,
        "bad_signature",
        "expected a signature of the raw body by this bot",
        {},
    ),
    "an unknown token": (
        lambda _: {"method": "POST", "url": "/webhooks/signals/nobody", "content": BODY},
        404,
        "unknown_token",
        "no bot receives signals at this address",
        {},
    ),
    "a foreign tenant": (
        lambda doors: get(doors.account, **{"X-Api-Key": doors.beta["apiKey"]}),
        404,
        "not_found",
        "No such object.",
        {},
    ),
    "a foreign account": (
        lambda doors: get(
            f"/tenants/{ALPHA}/accounts/{doors.beta['accounts'][0]['accountId']}",
            **{"X-Api-Key": doors.alpha["apiKey"]},
        ),
        404,
        "not_found",
        "No such object.",
        {},
    ),
    "an unknown tenant": (
        lambda doors: get("/tenants/nobody/accounts", **{"X-Api-Key": doors.alpha["apiKey"]}),
        404,
        "not_found",
        "No such object.",
        {},
    ),
    "an unknown route": (lambda _: get("/nowhere/at/all"), 404, "not_found", NOTHING, {}),
    "an unknown route below a known one": (
        lambda doors: get(f"{doors.account}/nothing", **{"X-Api-Key": doors.alpha["apiKey"]}),
        404,
        "not_found",
        NOTHING,
        {},
    ),
    "a method that is none": (
        lambda _: {"method": "DELETE", "url": "/webhooks/signals"},
        405,
        "method_not_allowed",
        "The route does not take this method.",
        {},
    ),
    "an expired token": (
        lambda doors: get(doors.account, Authorization=f"Bearer {doors.expired}"),
        401,
        "unauthorized",
        UNAUTHORIZED,
        {},
    ),
    "a token that is none": (
        lambda doors: get(doors.account, Authorization="Bearer nonsense"),
        401,
        "unauthorized",
        UNAUTHORIZED,
        {},
    ),
    "no credentials": (lambda doors: get(doors.account), 401, "unauthorized", UNAUTHORIZED, {}),
    "a key that is none": (
        lambda doors: get(doors.account, **{"X-Api-Key": "nonsense"}),
        401,
        "unauthorized",
        UNAUTHORIZED,
        {},
    ),
    "two credentials": (
        lambda doors: get(
            doors.account,
            Authorization=f"Bearer {doors.expired}",
            **{"X-Api-Key": doors.alpha["apiKey"]},
        ),
        401,
        "unauthorized",
        "Send either a bearer token or X-Api-Key, not both.",
        {},
    ),
    "fields that are wrong": (
        lambda doors: {
            "method": "POST",
            "url": f"{doors.account}/orders",
            "headers": {"X-Api-Key": doors.alpha["apiKey"]},
            "json": {"symbol": 1},
        },
        422,
        "invalid_fields",
        "2 field(s) do not hold.",
        {
            "errors": [
                {
                    "pointer": "/action",
                    "expected": "one of " + ", ".join(ACTIONS),
                    "got": "absent",
                },
                {
                    "pointer": "/symbol",
                    "expected": "printable text of 1 to 64 characters",
                    "got": "1",
                },
            ]
        },
    ),
    "a wrong password": (
        lambda doors: {
            "method": "POST",
            "url": "/oauth2/token",
            "data": {
                "grant_type": "password",
                "username": doors.alpha["users"][0]["email"],
                "password": "not this one",
            },
        },
        400,
        "invalid_grant",
        "The credentials or the token do not hold.",
        {"error": "invalid_grant"},
    ),
    "a wrong cursor": (
        lambda doors: get(
            f"/tenants/{ALPHA}/accounts?cursor=x", **{"X-Api-Key": doors.alpha["apiKey"]}
        ),
        422,
        "invalid_fields",
        "The cursor is not one of ours.",
        {
            "errors": [
                {
                    "pointer": "query/cursor",
                    "expected": "a nextCursor of this route",
                    "got": "x",
                }
            ]
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_refusal_is_the_same_everywhere(doors: Doors, case: str) -> None:
    ask, status, slug, detail, more = CASES[case]
    answer = await doors.client.request(**ask(doors))
    assert answer.headers["content-type"] == MEDIA_TYPE
    correlation_id = answer.headers["x-correlation-id"]
    expected = {
        "type": f"https://errors.quantlab.example/{slug}",
        "title": PROBLEMS[slug][1],
        "status": status,
        "detail": detail,
        "correlationId": correlation_id,
        **more,
    }
    assert (answer.status_code, answer.text) == (status, json.dumps(expected))
