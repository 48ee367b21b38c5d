"""Requests of one tenant's credentials for another's objects, made from the OpenAPI document.

A route, parameter or body this room does not know is an error, so that a new route is probed or
named here.
"""

import re
import string
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from psycopg import sql

from tests.support.running_platform import ANSWER_S, Document, Platform, eventually

METHODS = ("get", "put", "post", "patch", "delete")
# What a tenant shows to everybody.
PUBLIC_BY_DESIGN = {"/branding": "the login page of a tenant, before anybody is known"}
# A fresh installation compiles the engine of backtests first.
BACKTEST_S = 240
# A token, secret or password that nobody has.
JUNK = "x" * 43
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Objects:
    """Identifiers of one tenant, by the name of the parameter they fill."""

    tenant_id: str
    parameters: Mapping[str, str]
    markers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Probe:
    """One request, and the objects of the other tenant it names."""

    method: str
    route: str
    path: str
    body: Document | None
    form: Document | None
    foreign: bool
    queries: Mapping[str, str]

    @property
    def tenanted(self) -> bool:
        return "{tenantId}" in self.route

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"


def bodies_of(mine: Objects, other: Objects) -> dict[tuple[str, str], Document]:
    """Say what is sent where a body is wanted; all of it valid, naming the other's objects."""
    theirs = other.parameters
    tenant = "/tenants/{tenantId}"
    account = tenant + "/accounts/{accountId}"
    return {
        ("post", tenant + "/accounts"): {"userId": theirs["userId"], "accountType": "demo-100k"},
        ("patch", account): {"status": "disabled", "reason": "probe"},
        ("post", account + "/orders"): {"symbol": "EURUSD", "side": "buy", "quantity": "0.01"},
        ("patch", account + "/orders/{orderId}"): {"price": "0.60000"},
        ("post", account + "/payouts"): {},
        ("post", account + "/reset"): {"reason": "probe"},
        ("post", account + "/override"): {"reason": "probe", "evidence": "probe"},
        ("post", tenant + "/approvals"): {
            "kind": "reset",
            "accountId": theirs["accountId"],
            "reason": "probe",
        },
        ("post", tenant + "/approvals/{approvalId}/approve"): {"reason": "probe"},
        ("post", tenant + "/approvals/{approvalId}/reject"): {"reason": "probe"},
        ("post", tenant + "/bad-ticks"): {
            "symbol": "EURUSD",
            "fromSeq": 1,
            "toSeq": 1,
            "reason": "probe",
        },
        ("post", tenant + "/bad-ticks/{rangeId}/withdraw"): {"reason": "probe"},
        ("post", tenant + "/bad-ticks/{rangeId}/recompute"): {"limit": 1},
        ("post", tenant + "/bad-ticks/{rangeId}/corrections"): {"accountId": theirs["accountId"]},
        ("put", tenant + "/market/{symbol}/halt"): {"reason": "probe"},
        ("post", tenant + "/market/{symbol}/resume"): {"reason": "probe"},
        ("put", tenant + "/link-groups/{groupId}"): {"accountIds": [theirs["accountId"]]},
        ("put", tenant + "/news-calendar"): CALENDAR,
        ("post", tenant + "/what-if"): {"configVersion": theirs["configVersion"]},
        ("post", tenant + "/api-keys"): {"name": "probe", "role": "viewer"},
        ("post", tenant + "/bots"): {"name": "probe", "accountId": theirs["accountId"]},
        ("patch", tenant + "/bots/{botId}"): {"status": "disabled"},
        ("post", tenant + "/bots/{botId}/rotate-secret"): {},
        ("post", tenant + "/strategies"): {"name": "probe", "source": STRATEGY},
        ("put", tenant + "/strategies/{strategyId}"): {"source": STRATEGY},
        ("post", tenant + "/strategies/check"): {"source": STRATEGY},
        ("post", tenant + "/strategies/format"): {"source": STRATEGY},
        ("post", tenant + "/strategies/complete"): {"source": STRATEGY, "offset": 3},
        ("post", tenant + "/strategies/hover"): {"source": STRATEGY, "offset": 3},
        ("post", tenant + "/strategies/rename"): {"source": STRATEGY, "offset": 12, "name": "y"},
        ("post", tenant + "/backtests"): {
            "strategyId": theirs["strategyId"],
            "symbols": ["EURUSD"],
            "from": "2020-01-01T00:00:00Z",
        },
        ("post", tenant + "/accounts/{accountId}/strategy-runs"): {
            "strategyId": theirs["strategyId"],
            "symbol": "EURUSD",
        },
        ("post", tenant + "/webhook-endpoints"): {"url": "https://hooks.invalid/probe"},
        ("patch", tenant + "/webhook-endpoints/{endpointId}"): {"status": "disabled"},
        ("post", tenant + "/webhook-endpoints/{endpointId}/replay"): {
            "accountId": theirs["accountId"],
            "fromSeq": 1,
            "toSeq": 2,
        },
        ("post", tenant + "/users"): {"email": f"probe@{mine.tenant_id}.example", "name": "Probe"},
        ("patch", tenant + "/users/{userId}"): {"status": "disabled"},
        ("post", "/oauth2/tenant-tokens"): {"tenantId": other.tenant_id},
        ("post", "/email-verifications/confirm"): {"token": JUNK},
        ("post", "/invitations/accept"): {"token": JUNK, "password": "correct horse battery"},
        ("post", "/password-resets"): {"email": "nobody@nowhere.example"},
        ("post", "/password-resets/confirm"): {"token": JUNK, "password": "correct horse battery"},
        ("post", "/password-changes"): {"currentPassword": JUNK, "newPassword": "longer " + JUNK},
        ("post", "/totp/confirm"): {"code": "000000"},
        ("post", "/totp/disable"): {"code": "000000"},
        ("post", "/webhooks/signals"): {"action": "flat", "accountId": theirs["accountId"]},
        ("post", "/webhooks/signals/{botToken}"): {"action": "flat", "secret": JUNK},
    }


STRATEGY = 'on tick\n    x = bid\n    plot("bid", x)\n'
CALENDAR = {
    "format": 1,
    "until": "2030-01-01T00:00:00Z",
    "events": [
        {"at": "2029-12-07T13:30:00Z", "name": "Payrolls", "impact": "high", "currencies": ["USD"]}
    ],
}
FORMS = {
    "/oauth2/revoke": {"token": JUNK},
    "/oauth2/token": {"grant_type": "password", "username": "a@b.example", "password": JUNK},
}
# A body that names the other's object makes a request foreign even where the path does not.
NAMES_FOREIGN = {
    ("post", "/tenants/{tenantId}/accounts"),
    ("post", "/tenants/{tenantId}/bots"),
    ("post", "/tenants/{tenantId}/approvals"),
    ("post", "/tenants/{tenantId}/what-if"),
    ("post", "/tenants/{tenantId}/backtests"),
    ("post", "/oauth2/tenant-tokens"),
    ("post", "/webhooks/signals"),
}


def probes(openapi: Document, mine: Objects, other: Objects, tenant_id: str) -> Iterator[Probe]:
    """Make one request a route: under tenant_id, with the other's objects everywhere else."""
    values = {**other.parameters, "tenantId": tenant_id}
    bodies = bodies_of(mine, other)
    for route, operations in sorted(openapi["paths"].items()):
        for method in METHODS:
            if method not in operations:
                continue
            operation = operations[method]
            names = [name for _, name, _, _ in string.Formatter().parse(route) if name]
            missing = [name for name in names if name not in values]
            assert not missing, f"{method} {route}: the probe cannot fill {missing}"
            foreign = tenant_id == other.tenant_id and "tenantId" in names
            foreign |= bool(set(names) - {"tenantId"}) or (method, route) in NAMES_FOREIGN
            yield Probe(
                method=method,
                route=route,
                path=route.format(**values),
                body=_body(operation, method, route, bodies),
                form=FORMS.get(route),
                foreign=foreign,
                queries=_queries(operation, route, values),
            )


def _body(
    operation: Document, method: str, route: str, bodies: Mapping[tuple[str, str], Document]
) -> Document | None:
    if "requestBody" not in operation or route in FORMS:
        return None
    assert (method, route) in bodies, f"{method} {route}: the probe has no body for it"
    return bodies[method, route]


QUERIES = {"limit", "cursor", "startTime", "endTime", "eventType", "afterSeq", "status", "from",
           "to", "interval", "kind", "affected", "ended", "archived", "version",
           "details"}  # fmt: skip


def _queries(operation: Document, route: str, values: Mapping[str, str]) -> dict[str, str]:
    """Name the other's objects in queries too; what is optional and no identifier stays away."""
    chosen = {}
    for parameter in operation.get("parameters", []):
        name, place = parameter["name"], parameter["in"]
        if place != "query":
            continue
        if name in values:
            chosen[name] = values[name]
        else:
            known = name in QUERIES and not parameter.get("required")
            assert known, f"{route}: the probe cannot fill the query {name}"
    return chosen


def send(client: httpx.Client, probe: Probe, credential: Mapping[str, str]) -> httpx.Response:
    return client.request(
        probe.method,
        probe.path,
        params=probe.queries,
        json=probe.body,
        data=probe.form,
        headers=credential,
    )


def markers_in(text: str, markers: frozenset[str]) -> list[str]:
    """Return which of the other's markers a text shows."""
    lowered = text.lower()
    return sorted(marker for marker in markers if marker.lower() in lowered)


def nobodys(objects: Objects) -> Objects:
    """Return objects of the same kinds that nobody has."""
    strangers = {
        name: str(uuid.uuid5(uuid.NAMESPACE_OID, name)) if UUID.match(value) else value
        for name, value in objects.parameters.items()
    }
    return Objects(objects.tenant_id, strangers, frozenset())


def objects_of(made: Platform, tenant_id: str) -> Objects:
    """Collect a tenant's identifiers and secrets; every kind of object must exist."""
    tenant = next(one for one in made.demo["tenants"] if one["tenantId"] == tenant_id)
    with made.database() as connection:
        parameters = {
            "accountId": tenant["accounts"][0]["accountId"],
            "userId": tenant["accounts"][0]["userId"],
            "botId": tenant["bots"][0]["botId"],
            "botToken": tenant["bots"][0]["token"],
            "host": f"{tenant_id}.localhost",
            "symbol": "EURUSD",
        }
        for name, query in {
            "orderId": "select order_id from orders where tenant_id = %s and account_id = %s",
            "signalId": "select signal_id from inbox where tenant_id = %s and account_id = %s"
            " and source_kind = 'bot'",
        }.items():
            row = connection.execute(
                query.encode() + b" limit 1", (tenant_id, parameters["accountId"])
            ).fetchone()
            assert row is not None, f"{tenant_id} has no {name}"
            parameters[name] = str(next(iter(row.values())))
        parameters |= _lives(connection, tenant_id)
        key = connection.execute(
            "select api_key_id from api_key where tenant_id = %s limit 1", (tenant_id,)
        ).fetchone()
        assert key is not None
        endpoint = httpx.post(
            f"{made.url}/tenants/{tenant_id}/webhook-endpoints",
            json={"url": f"https://{tenant_id}.invalid/"},
            headers={"X-Api-Key": tenant["apiKey"]},
        ).json()
        parameters["endpointId"] = endpoint["endpoint"]["endpointId"]
        parameters["strategyId"] = _strategy(made, tenant)
        parameters["backtestId"] = _backtest(made, tenant, parameters["strategyId"])
        parameters["runId"] = _run(made, tenant, parameters)
        parameters["apiKeyId"] = str(key["api_key_id"])
        markers = set(_identifiers(connection, tenant_id))
    markers |= {tenant_id, tenant["apiKey"], *(user["email"] for user in tenant["users"])}
    markers |= {bot[key] for bot in tenant["bots"] for key in ("secret", "token")}
    return Objects(tenant_id, parameters, frozenset(markers))


def _strategy(made: Platform, tenant: Document) -> str:
    """Save a strategy as the firm, once more under another name each time."""
    answer = httpx.post(
        f"{made.url}/tenants/{tenant['tenantId']}/strategies",
        json={"name": f"probe {uuid.uuid4()}", "source": STRATEGY},
        headers={"X-Api-Key": tenant["apiKey"]},
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["strategyId"])


def _backtest(made: Platform, tenant: Document, strategy_id: str) -> str:
    """Have the firm's strategy run over what the feed has recorded, and wait for its results."""
    base = f"{made.url}/tenants/{tenant['tenantId']}/backtests"
    headers = {"X-Api-Key": tenant["apiKey"]}
    wish = {"strategyId": strategy_id, "symbols": ["EURUSD"], "from": "2000-01-01T00:00:00Z"}
    answer = httpx.post(base, json=wish, headers=headers, timeout=ANSWER_S)
    assert answer.status_code == 202, answer.text
    backtest_id = str(answer.json()["backtestId"])
    ends = lambda: httpx.get(f"{base}/{backtest_id}", headers=headers).json()["status"] == "done"  # noqa: E731
    assert eventually(ends, BACKTEST_S), "the backtest has no results"
    return backtest_id


def _run(made: Platform, tenant: Document, parameters: Mapping[str, str]) -> str:
    """Start the strategy on the account as the firm, and kill it: what is shown stays."""
    runs = (
        f"{made.url}/tenants/{tenant['tenantId']}/accounts/{parameters['accountId']}/strategy-runs"
    )
    headers = {"X-Api-Key": tenant["apiKey"]}
    wanted = {"strategyId": parameters["strategyId"], "symbol": "EURUSD"}
    answer = httpx.post(runs, json=wanted, headers=headers)
    assert answer.status_code == 201, answer.text
    run_id = str(answer.json()["runId"])
    assert httpx.post(f"{runs}/{run_id}/kill", headers=headers).status_code == 200
    return run_id


def _lives(connection: Any, tenant_id: str) -> dict[str, str]:
    """Return a request, a link group, the configuration and bad ticks of a tenant."""
    found = connection.execute(
        "select (select approval_id::text from approval where tenant_id = %(tenant)s limit 1)"
        ' as "approvalId", (select group_id from account_link where tenant_id = %(tenant)s'
        ' limit 1) as "groupId", (select config_version from tenant'
        ' where tenant_id = %(tenant)s) as "configVersion", (select range_id::text'
        ' from bad_tick_range where tenant_id = %(tenant)s limit 1) as "rangeId"',
        {"tenant": tenant_id},
    ).fetchone()
    assert found is not None
    assert None not in found.values(), f"{tenant_id} has not all of {found}"
    return {name: str(value) for name, value in found.items()}


def _identifiers(connection: Any, tenant_id: str) -> Iterator[str]:
    """Yield every UUID in every row of the tenant, from whichever table it stands in."""
    columns = connection.execute(
        "select c.table_name, c.column_name from information_schema.columns c"
        " where c.table_schema = 'quantlab' and c.data_type = 'uuid' and exists ("
        "  select from information_schema.columns t where t.table_schema = 'quantlab'"
        "  and t.table_name = c.table_name and t.column_name = 'tenant_id')"
    ).fetchall()
    for column in columns:
        query = sql.SQL(
            "select distinct {id}::text as id from quantlab.{table}"
            " where tenant_id = %s and {id} is not null"
        ).format(
            id=sql.Identifier(column["column_name"]), table=sql.Identifier(column["table_name"])
        )
        for row in connection.execute(query, (tenant_id,)).fetchall():
            if row["id"] != NOBODY:
                yield row["id"]


def credentials_of(made: Platform, tenant_id: str) -> dict[str, dict[str, str]]:
    """Log in as everybody of a tenant: its key, one user of each role, its bot, and nobody."""
    tenant = next(one for one in made.demo["tenants"] if one["tenantId"] == tenant_id)
    found: dict[str, dict[str, str]] = {"api key": {"X-Api-Key": tenant["apiKey"]}}
    users: Sequence[Document] = tenant["users"]
    for user in {user["role"]: user for user in users}.values():
        answer = httpx.post(
            f"{made.url}/oauth2/token",
            data={
                "grant_type": "password",
                "username": user["email"],
                "password": user["password"],
                "tenant_id": tenant_id,
            },
            timeout=ANSWER_S,
        )
        assert answer.status_code == 200, answer.text
        found[user["role"]] = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    bot = tenant["bots"][0]
    found["bot"] = {"X-Bot-Id": bot["botId"], "Authorization": f"Bearer {bot['secret']}"}
    found["nobody"] = {}
    return found
