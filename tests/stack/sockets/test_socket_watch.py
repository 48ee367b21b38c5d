"""`quantlab watch` and the events route against a real server."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from tests.support import sockets
from tests.support.sockets import ACCOUNT, COLLEAGUES_ACCOUNT, FOREIGN_ACCOUNT, House

from quantlab_edge import hub_filler
from quantlab_server.cli.watch import Login, Watcher
from quantlab_server.refusal import Refusal

pytestmark = pytest.mark.stack


def events_path(account_id: str, tenant_id: str = sockets.TENANT) -> str:
    return f"/tenants/{tenant_id}/accounts/{account_id}/events"


async def test_events_are_listed_from_any_point_in_pages(house: House) -> None:
    await house.happen(ACCOUNT, 7)
    async with httpx.AsyncClient(base_url=house.base_url) as http:
        query: dict[str, Any] = {"afterSeq": 2, "limit": 2}
        seqs = []
        while query:
            page = (await http.get(events_path(ACCOUNT), params=query)).json()
            seqs += [item["seq"] for item in page["items"]]
            query = {"cursor": page["nextCursor"], "limit": 2} if page["nextCursor"] else {}
        first = (await http.get(events_path(ACCOUNT), params={"limit": 1})).json()["items"][0]
    assert seqs == list(range(3, house.seqs[ACCOUNT] + 1))
    assert first == {
        "seq": 1,
        "eventType": "order.filled",
        "timestamp": "2023-11-14T22:13:20.000000Z",
        "payload": {"n": 1},
    }


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (events_path(COLLEAGUES_ACCOUNT), 404),
        (events_path(FOREIGN_ACCOUNT), 404),
        (events_path("me"), 404),
        (events_path(ACCOUNT) + "?afterSeq=-1", 422),
        (events_path(ACCOUNT) + "?afterSeq=9007199254740992", 422),
        (events_path(ACCOUNT) + "?cursor=bm9uZQ", 422),
    ],
)
async def test_hidden_accounts_and_bad_queries_are_refused(
    house: House, path: str, status: int
) -> None:
    async with httpx.AsyncClient(base_url=house.base_url) as http:
        assert (await http.get(path)).status_code == status


async def test_watch_follows_an_account_over_a_resync(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hub_filler, "REPLAY_MAX", 20)
    await house.happen(ACCOUNT, 30)
    seen: list[Mapping[str, Any]] = []
    login = Login(house.base_url, sockets.TENANT, api_key="key")
    watcher = Watcher(login, ACCOUNT, 0, house.seqs[ACCOUNT] + 5, seen.append)
    watching = asyncio.create_task(watcher.run())

    async def caught_up() -> bool:
        return len(seen) == house.seqs[ACCOUNT]

    await sockets.eventually(caught_up)
    await house.happen(ACCOUNT, 5)
    await asyncio.wait_for(watching, 10)
    assert [message["seq"] for message in seen] == list(range(1, house.seqs[ACCOUNT] + 1))
    assert len({frozenset(message) for message in seen}) == 1
    assert capsys.readouterr().err == f"watching {ACCOUNT} after event 0\n"


async def test_watch_refuses_a_hidden_account_and_a_silent_server(house: House) -> None:
    login = Login(house.base_url, sockets.TENANT, api_key="key")
    with pytest.raises(Refusal, match="not_found"):
        await Watcher(login, FOREIGN_ACCOUNT, None, 1, print).run()
    nowhere = Login("http://127.0.0.1:9", sockets.TENANT, api_key="key")
    with pytest.raises(Refusal, match="does not answer"):
        await Watcher(nowhere, ACCOUNT, None, 1, print).run()
