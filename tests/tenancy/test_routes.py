"""No credential of a tenant shows anything of another on any route the server has."""

import asyncio
import json

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.support.probe import (
    PUBLIC_BY_DESIGN,
    Objects,
    Probe,
    markers_in,
    nobodys,
    probes,
    send,
)
from tests.support.running_platform import ANSWER_S
from tests.support.street import TENANTS, Street

pytestmark = [pytest.mark.stack, pytest.mark.e2e]
PROVEN = ("api key", "tenant_admin", "risk_manager", "trader", "viewer")
ANONYMOUS = ("bot", "nobody")


@pytest.mark.parametrize("mine", TENANTS)
@pytest.mark.parametrize("place", ["in their tenant", "in its own tenant"])
def test_nothing_of_another_tenant_shows(street: Street, mine: str, place: str) -> None:
    other = next(name for name in TENANTS if name != mine)
    target = other if place == "in their tenant" else mine
    wrong = []
    sent = 0
    with httpx.Client(base_url=street.made.url, timeout=ANSWER_S) as client:
        for kind, credential in street.credentials[mine].items():
            for probe in probes(
                street.openapi, street.objects[mine], street.objects[other], target
            ):
                answer = send(client, probe, credential)
                sent += 1
                fault = _fault(probe, kind, answer, street.objects[other], target == other)
                if fault is not None:
                    wrong.append(f"{kind}: {probe} -> {answer.status_code}: {fault}")
    assert not wrong, "\n".join(wrong[:40])
    assert sent > 7 * 50


def _fault(
    probe: Probe, kind: str, answer: httpx.Response, other: Objects, theirs: bool
) -> str | None:
    """Say what is wrong with an answer, if anything is."""
    if probe.route in PUBLIC_BY_DESIGN:
        return None
    # A refusal may repeat what the caller wrote into its body: pointer, expected, got.
    said = json.dumps(probe.body) if answer.status_code == 422 else ""
    repeated = set(markers_in(said, other.markers))
    shown = markers_in(answer.text + str(answer.headers), other.markers - repeated)
    if shown:
        return f"shows {shown[:3]}"
    allowed = _allowed(probe, kind, theirs=theirs)
    return None if answer.status_code in allowed else f"expected one of {sorted(allowed)}"


def _allowed(probe: Probe, kind: str, *, theirs: bool) -> set[int]:
    """Say how a probe may end. Quotes of a symbol that both tenants have are both tenants'."""
    if probe.tenanted and kind in ANONYMOUS:
        return {401}
    if probe.tenanted and theirs:
        return {404}
    if not probe.foreign:
        return set(range(200, 500))
    return {401, 403, 404, 422} | ({200} if "{symbol}" in probe.route else set())


@pytest.mark.parametrize("mine", TENANTS)
def test_what_others_have_looks_like_what_nobody_has(street: Street, mine: str) -> None:
    """An answer does not tell whether an identifier exists elsewhere."""
    own = street.objects[mine]
    other = street.objects[next(name for name in TENANTS if name != mine)]
    different = []
    with httpx.Client(base_url=street.made.url, timeout=ANSWER_S) as client:
        for kind in ("api key", "trader"):
            credential = street.credentials[mine][kind]
            pairs = zip(
                probes(street.openapi, own, other, mine),
                probes(street.openapi, own, nobodys(other), mine),
                strict=True,
            )
            for theirs, nobodys_own in pairs:
                if not theirs.foreign or theirs.path == nobodys_own.path == theirs.route:
                    continue
                one, two = (send(client, it, credential) for it in (theirs, nobodys_own))
                if (one.status_code, _slug(one)) != (two.status_code, _slug(two)):
                    different.append(f"{kind}: {theirs}: {one.text} and {two.text}")
    assert not different, "\n".join(different)


def _slug(answer: httpx.Response) -> object:
    return answer.json().get("type") if answer.is_error else None


@pytest.mark.parametrize("tenant_id", TENANTS)
def test_the_owner_sees_what_the_other_does_not(street: Street, tenant_id: str) -> None:
    """The same requests with the tenant's own key find their objects: the probe asks rightly."""
    own = street.objects[tenant_id]
    blind = []
    shown = 0
    with httpx.Client(base_url=street.made.url, timeout=ANSWER_S) as client:
        for probe in probes(street.openapi, own, own, tenant_id):
            if probe.method != "get" or not probe.tenanted:
                continue
            answer = send(client, probe, street.credentials[tenant_id]["api key"])
            shown += bool(markers_in(answer.text, own.markers))
            if answer.status_code != 200:
                blind.append(f"{probe} -> {answer.status_code} {answer.text[:200]}")
    assert not blind, "\n".join(blind)
    assert shown >= 15


@pytest.mark.parametrize("mine", TENANTS)
async def test_no_channel_of_another_tenant(street: Street, mine: str) -> None:
    other = street.objects[next(name for name in TENANTS if name != mine)]
    channels = [f"account:{other.parameters['accountId']}", "quotes:EURUSD"]
    for kind in PROVEN:
        credential = street.credentials[mine][kind]
        async with httpx.AsyncClient(base_url=street.made.url) as client:
            ticket = (await client.post("/socket-tickets", headers=credential)).json()["ticket"]
        url = street.made.url.replace("http", "ws", 1) + f"/ws?ticket={ticket}"
        async with connect(url, close_timeout=1) as socket:
            await socket.send(json.dumps({"action": "subscribe", "channels": channels}))
            said = [json.loads(await asyncio.wait_for(socket.recv(), 10)) for _ in range(2)]
        refused = next(one for one in said if one["type"] == "error")
        assert (refused["code"], refused["channel"]) == ("not_found", channels[0])
        assert all(one.get("channels", channels[1:]) == channels[1:] for one in said)
