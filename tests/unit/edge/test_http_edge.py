"""The edge around every route: problems, exact numbers, limits, correlation, access log."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog
from pydantic import Field

from quantlab.engine.rejections import Reason
from quantlab_app.ports.errors import Conflict, NotFound, StoreUnavailable
from quantlab_edge import observe
from quantlab_edge.asgi import BODY_BYTES_MAX
from quantlab_edge.http import ApiModel, loads_exact, router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, encode_cursor, page
from quantlab_edge.problems import PROBLEMS, FieldError, ProblemError
from quantlab_server.app import create_app

FAULTS: dict[str, Exception] = {
    "store": StoreUnavailable("PostgreSQL: OperationalError"),
    "missing": NotFound("row"),
    "conflict": Conflict("bot_name"),
    "bug": RuntimeError("the password is hunter2"),
    "limited": ProblemError("rate_limited", "Slow down.", (), 7),
    "fields": ProblemError("invalid_fields", "No.", [FieldError("/a", "1", "2")]),
}


class Order(ApiModel):
    limit_price: Decimal = Field(gt=0)
    password: str = Field(default="", max_length=4)


@dataclass
class Ids:
    def new_id(self) -> str:
        return "fresh-correlation-id"


routes = router("test")


@routes.post("/orders")
async def place(order: Order) -> dict[str, str]:
    return {"exact": str(order.limit_price)}


@routes.get("/faults/{name}")
async def fault(name: str) -> None:
    raise FAULTS[name]


@routes.get("/pages")
async def pages(limit: Limit = 100, cursor: Cursor = None) -> dict[str, Any]:
    return {"limit": limit, "after": decode_cursor(cursor, int, str)}


@routes.post("/webhooks/signals/{botToken}")
async def signal(botToken: str) -> dict[str, int]:  # noqa: N803
    return {"length": len(botToken)}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(SimpleNamespace(ids=Ids()), [])  # type: ignore[arg-type]
    app.include_router(routes)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://edge") as made:
        yield made


def problem(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == response.status_code
    assert document["correlationId"] == response.headers["x-correlation-id"]
    assert document["title"]
    assert document["detail"]
    prefix, _, slug = document["type"].rpartition("/")
    assert prefix == "https://errors.quantlab.example"
    return {**document, "slug": slug}


@pytest.mark.parametrize(
    ("name", "status", "slug", "retry_after"),
    [
        ("store", 503, "stores_unavailable", "1"),
        ("missing", 404, "not_found", None),
        ("conflict", 409, "conflict", None),
        ("bug", 500, "internal", None),
        ("limited", 429, "rate_limited", "7"),
        ("fields", 422, "invalid_fields", None),
    ],
)
async def test_fault_becomes_its_problem(
    client: httpx.AsyncClient, name: str, status: int, slug: str, retry_after: str | None
) -> None:
    response = await client.get(f"/faults/{name}")
    assert (response.status_code, problem(response)["slug"]) == (status, slug)
    assert response.headers.get("retry-after") == retry_after


async def test_bug_leaks_nothing_and_is_logged(client: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs() as lines:
        response = await client.get("/faults/bug")
    assert "hunter2" not in response.text
    logged = [line for line in lines if line["event"] == "unhandled"]
    assert [line["correlation_id"] for line in logged] == [problem(response)["correlationId"]]


def test_every_reason_of_the_engine_has_its_problem() -> None:
    assert {str(reason) for reason in Reason} - set(PROBLEMS) == set()


async def test_unknown_route_and_method(client: httpx.AsyncClient) -> None:
    assert problem(await client.get("/nowhere"))["slug"] == "not_found"
    refused = await client.delete("/orders")
    assert problem(refused)["slug"] == "method_not_allowed"
    assert refused.headers["allow"] == "POST"


@pytest.mark.parametrize("number", ["0.1", "123456789012345678.123456789", '"1.10"', "3"])
async def test_numbers_are_exact(client: httpx.AsyncClient, number: str) -> None:
    answer = await client.post("/orders", content=f'{{"limitPrice": {number}}}', headers=JSON)
    assert answer.json() == {"exact": number.strip('"')}


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"limitPrice": NaN}',
        b'{"limitPrice": 1, "limitPrice": 2}',
        b'{"a": "\xff"}',
        b"[" * 60_000,
        b'{"limitPrice": ' + b"1" * 5000 + b"}",
        b'{"limitPrice": 1e999999999}',
        b'{"limitPrice": 1e-999999999}',
        b'{"limitPrice": 1, "password": "\\u0000"}',
        b'{"limitPrice": 1, "\\ud800": "x"}',
    ],
)
async def test_broken_json_is_400(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/orders", content=body, headers=JSON)
    assert (response.status_code, problem(response)["slug"]) == (400, "malformed_json")


@pytest.mark.parametrize(
    ("body", "pointer", "got"),
    [
        ({}, "/limitPrice", "nothing"),
        ({"limitPrice": "abc"}, "/limitPrice", "abc"),
        ({"limitPrice": -1}, "/limitPrice", "-1"),
        ({"limitPrice": 1, "extra/field": [1]}, "/extra~1field", "an array"),
        ({"limitPrice": 1, "password": "hunter22"}, "/password", "(not shown)"),
        ([], "", "an array"),
    ],
)
async def test_invalid_fields_name_pointer_expected_and_got(
    client: httpx.AsyncClient, body: object, pointer: str, got: str
) -> None:
    response = await client.post("/orders", json=body)
    assert response.status_code == 422
    (error,) = problem(response)["errors"]
    assert (error["pointer"], error["got"]) == (pointer, got)
    assert error["expected"]
    assert "hunter22" not in response.text


async def test_announced_large_body_is_413(client: httpx.AsyncClient) -> None:
    response = await client.post("/orders", content=b" " * (BODY_BYTES_MAX + 1), headers=JSON)
    assert (response.status_code, problem(response)["slug"]) == (413, "payload_too_large")


async def test_unannounced_large_body_is_413(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 8192

    response = await client.post("/orders", content=chunks(), headers=JSON)
    assert (response.status_code, problem(response)["slug"]) == (413, "payload_too_large")


async def test_largest_body_passes(client: httpx.AsyncClient) -> None:
    body = b'{"limitPrice": 1}'.rjust(BODY_BYTES_MAX)
    assert (await client.post("/orders", content=body, headers=JSON)).status_code == 200


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("client-chosen-1", "client-chosen-1"),
        ("short", "fresh-correlation-id"),
        ("has blanks in it", "fresh-correlation-id"),
        ("x" * 65, "fresh-correlation-id"),
    ],
)
async def test_correlation_id_is_taken_when_well_formed(
    client: httpx.AsyncClient, sent: str, expected: str
) -> None:
    response = await client.get("/pages", headers={"x-correlation-id": sent})
    assert response.headers["x-correlation-id"] == expected


async def test_access_log_hides_bot_tokens_and_queries(client: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs() as lines:
        await client.post("/webhooks/signals/very-secret-token?secret=also")
    (line,) = [line for line in lines if line["event"] == "request"]
    assert line["path"] == "/webhooks/signals/***"
    assert "secret" not in json.dumps(line)


async def test_metrics_count_by_route_not_by_path(client: httpx.AsyncClient) -> None:
    def counted(route: str, status: str) -> float:
        labels = {"route": route, "method": "GET", "status": status}
        return observe.REGISTRY.get_sample_value("quantlab_http_requests_total", labels) or 0.0

    before = counted("/faults/{name}", "404"), counted("unknown", "404")
    await client.get("/faults/missing")
    await client.get("/nowhere/at/all")
    after = counted("/faults/{name}", "404"), counted("unknown", "404")
    assert after == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize("limit", ["0", "501", "x"])
async def test_limit_outside_its_range_is_422(client: httpx.AsyncClient, limit: str) -> None:
    assert problem(await client.get(f"/pages?limit={limit}"))["errors"][0]["pointer"] == (
        "query/limit"
    )


@pytest.mark.parametrize(
    "cursor",
    [
        "!!",
        "e30",
        "W10",
        "WyJhIiwxXQ",
        "WzEsIA",
        encode_cursor([True, "a"]),
        encode_cursor([1 << 63, "a"]),
        encode_cursor([1, "\0"]),
    ],
)
async def test_foreign_cursor_is_422(client: httpx.AsyncClient, cursor: str) -> None:
    assert problem(await client.get("/pages", params={"cursor": cursor}))["slug"] == (
        "invalid_fields"
    )


async def test_cursor_round_trip(client: httpx.AsyncClient) -> None:
    rows, cursor = page([(1, "a"), (2, "b"), (3, "c")], 2, lambda row: row)
    assert rows == [(1, "a"), (2, "b")]
    assert (await client.get("/pages", params={"cursor": cursor or ""})).json()["after"] == [2, "b"]
    assert page([(1, "a")], 1, lambda row: row) == ([(1, "a")], None)


def test_identifier_in_a_cursor_is_checked() -> None:
    good = "01a20649-35c1-7b71-a390-2fa862c8b7a7"
    assert decode_cursor(encode_cursor([1, good]), int, UUID) == (1, good)
    for bad in (good.upper(), good[:-1], good + "0", good + "\n", "x"):
        with pytest.raises(ProblemError):
            decode_cursor(encode_cursor([1, bad]), int, UUID)


def test_pairs_of_surrogates_are_text() -> None:
    assert loads_exact(b'"\\ud83d\\ude00 \\\\u0000"') == "\U0001f600 \\u0000"


@pytest.mark.parametrize("number", ["1e99999999999999999999", "-0E-99999999999999999999", "1e61"])
async def test_exponent_beyond_any_price_is_no_json_of_ours(
    client: httpx.AsyncClient, number: str
) -> None:
    answer = await client.post("/orders", content=f'{{"limitPrice": {number}}}', headers=JSON)
    assert problem(answer)["slug"] == "malformed_json"
