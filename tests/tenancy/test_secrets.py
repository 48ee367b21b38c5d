"""What proves somebody is kept nowhere in the clear: not in a table, a log, a key or an event."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest
import redis
from psycopg import sql

from quantlab.webhooks.signature import sign
from tests.support.running_platform import Document, Platform

pytestmark = [pytest.mark.stack, pytest.mark.e2e]
LEFT_OPEN = {"demo.json": "shows the demo tenants' credentials by design, mode 0600"}


@pytest.fixture(scope="module")
def used(running: Platform) -> dict[str, str]:
    """Use every kind of secret once, rightly and wrongly, and return them by name."""
    secrets: dict[str, str] = {}
    for tenant in running.demo["tenants"]:
        name = tenant["tenantId"]
        secrets[f"API key of {name}"] = tenant["apiKey"]
        _signals(running, tenant["bots"][0])
        for bot in tenant["bots"]:
            secrets[f"secret of {bot['botId']}"] = bot["secret"]
            secrets[f"token of {bot['botId']}"] = bot["token"]
        for user in tenant["users"]:
            secrets[f"password of {user['email']}"] = user["password"]
        secrets |= _session(running, tenant["users"][0], name)
        headers = {"X-Api-Key": tenant["apiKey"]}
        made = httpx.post(
            f"{running.url}/tenants/{name}/api-keys", headers=headers, json={"name": "used"}
        )
        assert made.status_code == 201, made.text
        secrets[f"second key of {name}"] = next(
            value for value in _texts(made.json()) if len(value) >= 40
        )
        endpoint = httpx.post(
            f"{running.url}/tenants/{name}/webhook-endpoints",
            headers=headers,
            json={"url": "https://hooks.invalid/"},
        )
        assert endpoint.status_code == 201, endpoint.text
        secrets[f"webhook secret of {name}"] = endpoint.json()["secret"]
        ticket = httpx.post(f"{running.url}/socket-tickets", headers=headers).json()["ticket"]
        secrets[f"ticket of {name}"] = ticket
    return secrets


def _signals(running: Platform, bot: Document) -> None:
    """Send in both modes: one that is taken, one that is refused with a record, one without."""
    order = {"symbol": "EURUSD", "action": "buy", "quantity": "0.01", "clientId": "secrets"}
    url = f"{running.url}/webhooks/signals"
    for body, status in (
        ({**order, "id": f"s-{time.time_ns()}"}, 202),
        ({**order, "quantity": -1}, 422),
        ({**order, "symbol": "NOPE"}, 422),
    ):
        by_token = {**body, "id": f"t-{time.time_ns()}", "secret": bot["secret"]}
        answer = httpx.post(f"{url}/{bot['token']}", json=by_token)
        assert answer.status_code == status, answer.text
        raw = json.dumps(body).encode()
        headers = {
            "X-Bot-Id": bot["botId"],
            "X-Signature": sign(bot["secret"], int(time.time()), raw),
        }
        assert httpx.post(url, content=raw, headers=headers).status_code == status
    wrong = httpx.post(f"{url}/{bot['token']}", content=b'{"secret": "' + bot["secret"].encode())
    assert wrong.status_code == 400, wrong.text
    assert httpx.get(f"{url}/{bot['token']}").status_code == 405


def _session(running: Platform, user: Document, tenant_id: str) -> dict[str, str]:
    form = {
        "grant_type": "password",
        "username": user["email"],
        "password": user["password"],
        "tenant_id": tenant_id,
    }
    tokens = httpx.post(f"{running.url}/oauth2/token", data=form).json()
    again = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    newer = httpx.post(f"{running.url}/oauth2/token", data=again).json()
    return {
        f"{kind} token {number} of {tenant_id}": answer[f"{kind}_token"]
        for number, answer in enumerate((tokens, newer))
        for kind in ("access", "refresh")
    }


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)


def _shown(text: str, secrets: dict[str, str]) -> list[str]:
    """Name the secrets in a text, as they are or as the hexadecimal of their bytes."""
    return [
        name for name, secret in secrets.items() if secret in text or secret.encode().hex() in text
    ]


def test_no_table_keeps_a_secret(running: Platform, used: dict[str, str]) -> None:
    found = []
    with running.database() as connection:
        tables = connection.execute(
            "select relname from pg_class where relnamespace = 'quantlab'::regnamespace"
            " and relkind in ('r', 'p') and not relispartition and relname <> 'tick'"
        ).fetchall()
        assert len(tables) > 20
        for table in tables:
            name = table["relname"]
            query = sql.SQL("select t::text as row from {} t").format(sql.Identifier(name))
            text = "\n".join(row["row"] for row in connection.execute(query).fetchall())
            found += [f"{name}: {secret}" for secret in _shown(text, used)]
    assert found == []


def test_no_log_and_no_file_keeps_a_secret(running: Platform, used: dict[str, str]) -> None:
    found, lines = [], 0
    for path in running.state.rglob("*"):
        if not path.is_file() or path.name in LEFT_OPEN or "pg" in path.parts:
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        lines += text.count("/webhooks/signals/***") if path.name == "server.log" else 0
        found += [f"{path.relative_to(running.state)}: {secret}" for secret in _shown(text, used)]
    assert found == []
    assert lines >= 8


def test_valkey_keeps_no_secret(running: Platform, used: dict[str, str]) -> None:
    read = {
        "string": lambda client, key: client.get(key),
        "hash": lambda client, key: client.hgetall(key),
        "set": lambda client, key: client.smembers(key),
        "zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
    }
    with redis.Redis.from_url(running.redis_url, decode_responses=True) as client:
        texts = [f"{key} {read[client.type(key)](client, key)}" for key in client.scan_iter()]
    assert len(texts) > 10
    assert [name for text in texts for name in _shown(text, used)] == []
