"""Strategies over HTTP: versions that compile, whose they are, and what an editor asks."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.resources import Person, Site, problem
from tests.support.world import ALPHA, BETA

from quantlab.qls.compiler import compile_source
from quantlab.qls.limits import SOURCE_BYTES_MAX
from quantlab.tenancy.permissions import Role
from quantlab_app.use_cases import strategies as use_cases

pytestmark = pytest.mark.stack
PATH = "/strategies"
NOBODY = "00000000-0000-7000-8000-000000000000"
CROSS = Path("examples/sma_cross.qls").read_text(encoding="utf-8")
BARS = """strategy "Hours" (timezone="Europe/Berlin")
input mode = choice("long", ["long", "short"], label="Side")
input quiet = bool(false)
on bar(1h)
    _unread = close("GBPUSD", 5m)
    if quiet == false and mode == "long" and position == 0
        buy(1.0)
on timer("17:00")
    flatten()
"""
PLAIN = "on tick\n    flatten()\n"
BROKEN = 'on tick\n    x = smaa(bid, 3)\n    plot("x", x + askk)\n'


async def saved(served: Site, person: Person, name: str, source: str = CROSS) -> dict[str, Any]:
    answer = await served.send("POST", person, PATH, {"name": name, "source": source})
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    place = f"/tenants/{person.tenant_id}{PATH}/{document['strategyId']}"
    assert answer.headers["location"] == place
    return document


async def test_a_strategy_is_saved_with_what_a_form_needs(served: Site) -> None:
    trader = await served.person(Role.TRADER)
    shown = await saved(served, trader, "cross")
    program = compile_source(CROSS).program
    assert program is not None
    assert shown["sourceHash"] == program.source_hash
    assert shown["source"] == CROSS
    assert (shown["name"], shown["version"], shown["latestVersion"]) == ("cross", 1, 1)
    assert (shown["userId"], shown["savedBy"]) == (trader.user_id, f"user:{trader.user_id}")
    facts = shown["facts"]
    assert facts["inputs"][0] == {
        "name": "fast", "type": "int", "default": 10, "min": 2, "max": 200, "step": None,
        "label": "Fast length", "unit": "ticks", "options": [],
    }  # fmt: skip
    assert facts["events"] == [{"event": "on tick", "line": 9, "costMax": program.cost}]
    assert facts["costPerEventMax"] == program.cost
    assert (await served.get(trader, f"{PATH}/{shown['strategyId']}")).json() == shown

    hours = (await saved(served, trader, "hours", BARS))["facts"]
    assert (hours["title"], hours["timezone"]) == ("Hours", "Europe/Berlin")
    assert [(one["type"], one["default"], one["options"]) for one in hours["inputs"]] == [
        ("choice", "long", ["long", "short"]),
        ("bool", False, []),
    ]
    assert hours["symbols"] == ["(chart)", "GBPUSD"]
    assert {(one["symbol"], one["timeframe"]) for one in hours["timeframes"]} == {
        ("(chart)", "1h"),
        ("GBPUSD", "5m"),
    }
    assert [one["event"] for one in hours["events"]] == ["on bar(1h)", 'on timer("17:00")']


async def test_a_source_that_does_not_compile_is_not_saved(served: Site) -> None:
    trader = await served.person(Role.TRADER)
    answer = await served.send("POST", trader, PATH, {"name": "broken", "source": BROKEN})
    assert problem(answer) == (422, "not_compiled")
    expected = [one.as_json() for one in compile_source(BROKEN).diagnostics]
    assert [one["line"] for one in expected] == [2, 3]
    assert answer.json()["diagnostics"] == expected
    first = answer.json()["errors"][0]
    assert (first["pointer"], first["expected"]) == ("/source", expected[0]["message"])
    assert first["got"] == f"line {expected[0]['line']}, column {expected[0]['column']}"
    assert (await served.get(trader, PATH)).json()["items"] == []

    shown = await saved(served, trader, "whole")
    path = f"{PATH}/{shown['strategyId']}"
    worse = await served.send("PUT", trader, path, {"source": BROKEN, "name": "worse"})
    assert problem(worse) == (422, "not_compiled")
    assert (await served.get(trader, path)).json() == shown


async def test_each_changed_source_is_a_version_and_none_changes(served: Site) -> None:
    trader = await served.person(Role.TRADER)
    first = await saved(served, trader, "mine")
    path = f"{PATH}/{first['strategyId']}"
    for _ in range(2):
        same = await served.send("PUT", trader, path, {"source": CROSS})
        assert (same.status_code, same.json()) == (200, first)
    second = (await served.send("PUT", trader, path, {"source": PLAIN})).json()
    assert (second["version"], second["latestVersion"], second["source"]) == (2, 2, PLAIN)
    assert second["sourceHash"] != first["sourceHash"]
    stale = await served.send("PUT", trader, path, {"source": BARS, "baseVersion": 1})
    assert problem(stale) == (409, "conflict")
    third = await served.send(
        "PUT", trader, path, {"source": CROSS, "baseVersion": 2, "name": "renamed"}
    )
    assert (third.json()["version"], third.json()["name"]) == (3, "renamed")
    assert third.json()["sourceHash"] == first["sourceHash"]
    only_name = await served.send("PUT", trader, path, {"source": CROSS, "name": "again"})
    assert (only_name.json()["version"], only_name.json()["name"]) == (3, "again")

    old = (await served.get(trader, path, version=1)).json()
    assert (old["version"], old["source"], old["savedAt"]) == (1, CROSS, first["savedAt"])
    assert problem(await served.get(trader, path, version=4)) == (404, "not_found")
    pages = await served.pages(trader, f"{path}/versions", limit=2)
    assert [[one["version"] for one in one_page] for one_page in pages] == [[3, 2], [1]]
    assert pages[1][0]["sourceHash"] == first["sourceHash"]


async def test_of_saves_at_once_each_version_is_one_source(served: Site) -> None:
    trader = await served.person(Role.TRADER)
    path = f"{PATH}/{(await saved(served, trader, 'raced'))['strategyId']}"
    sources = [f'on tick\n    plot("{n}", bid)\n' for n in range(6)]
    answers = await asyncio.gather(
        *(served.send("PUT", trader, path, {"source": source}) for source in sources)
    )
    done = [one.json() for one in answers if one.status_code == 200]
    assert {one.status_code for one in answers} <= {200, 409}
    assert sorted(one["version"] for one in done) == list(range(2, 2 + len(done)))
    for one in done:
        again = (await served.get(trader, path, version=one["version"])).json()
        assert again["source"] == one["source"]


async def test_archived_is_kept_and_its_name_is_free(served: Site) -> None:
    trader = await served.person(Role.TRADER)
    shown = await saved(served, trader, "old")
    path = f"{PATH}/{shown['strategyId']}"
    twice = await served.send("POST", trader, PATH, {"name": "old", "source": PLAIN})
    assert problem(twice) == (409, "conflict")
    other = await saved(served, trader, "other", PLAIN)
    renamed = await served.send(
        "PUT", trader, f"{PATH}/{other['strategyId']}", {"source": PLAIN, "name": "old"}
    )
    assert problem(renamed) == (409, "conflict")
    for _ in range(2):
        assert (await served.send("DELETE", trader, path)).status_code == 204
    kept = (await served.get(trader, path)).json()
    assert kept["archivedAt"] is not None
    assert kept["source"] == CROSS
    refused = await served.send("PUT", trader, path, {"source": PLAIN})
    assert problem(refused) == (409, "strategy_archived")
    listed = (await served.get(trader, PATH)).json()["items"]
    assert [one["name"] for one in listed] == ["other"]
    gone = (await served.get(trader, PATH, archived=True)).json()["items"]
    assert [one["strategyId"] for one in gone] == [shown["strategyId"]]
    await saved(served, trader, "old", PLAIN)


async def test_an_owner_has_so_many_and_no_more(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_cases, "STRATEGIES_MAX", 2)
    monkeypatch.setattr(use_cases, "VERSIONS_MAX", 2)
    trader = await served.person(Role.TRADER)
    shown = [await saved(served, trader, name, PLAIN) for name in ("a", "b")]
    third = await served.send("POST", trader, PATH, {"name": "c", "source": PLAIN})
    assert problem(third) == (409, "too_many_strategies")
    await saved(served, await served.person(Role.TRADER), "a", PLAIN)
    path = f"{PATH}/{shown[0]['strategyId']}"
    assert (await served.send("PUT", trader, path, {"source": CROSS})).status_code == 200
    full = await served.send("PUT", trader, path, {"source": BARS})
    assert problem(full) == (409, "too_many_versions")


async def test_who_sees_and_who_changes(served: Site) -> None:
    trader = await served.person(Role.TRADER)
    path = f"{PATH}/{(await saved(served, trader, 'mine'))['strategyId']}"
    requests: tuple[tuple[str, str, Any], ...] = (
        ("GET", path, None),
        ("GET", f"{path}/versions", None),
        ("PUT", path, {"source": CROSS}),
        ("DELETE", path, None),
    )
    outsiders = (
        await served.person(Role.TRADER),
        await served.person(Role.TENANT_ADMIN, BETA),
        await served.person(Role.TRADER, BETA),
    )
    for outsider in outsiders:
        assert (await served.get(outsider, PATH)).json()["items"] == []
        for method, place, body in requests:
            answer = await served.send(method, outsider, place, body)
            assert problem(answer) == (404, "not_found"), (method, place)
        broken = await served.send("PUT", outsider, path, {"source": BROKEN})
        assert problem(broken) == (404, "not_found")
    risk, viewer = await served.person(Role.RISK_MANAGER), await served.person(Role.VIEWER)
    for method, place, body in requests:
        told = await served.send(method, risk, place, body)
        assert told.status_code == (200 if method == "GET" else 403)
        assert problem(await served.send(method, viewer, place, body)) == (403, "forbidden")
    admin = await served.person(Role.TENANT_ADMIN)
    changed = await served.send("PUT", admin, path, {"source": PLAIN})
    assert changed.json()["savedBy"] == f"user:{admin.user_id}"
    assert changed.json()["userId"] == trader.user_id
    assert (await served.get(trader, path, version=1)).json()["source"] == CROSS
    for method, place, body in requests[:3]:
        strange = place.replace(path, f"{PATH}/{NOBODY}")
        answer = await served.send(method, trader, strange, body)
        assert problem(answer) == (404, "not_found")
    assert problem(await served.get(trader, f"{PATH}/none")) == (404, "not_found")


async def test_lists_come_in_pages(served: Site) -> None:
    trader, admin = await served.person(Role.TRADER), await served.person(Role.TENANT_ADMIN)
    made = [(await saved(served, trader, f"s{n}", PLAIN))["strategyId"] for n in range(5)]
    firm = (await saved(served, admin, "s0", PLAIN))["strategyId"]
    pages = await served.pages(trader, PATH, limit=2)
    assert [[one["strategyId"] for one in rows] for rows in pages] == [
        made[:2], made[2:4], made[4:],
    ]  # fmt: skip
    everything = await served.pages(admin, PATH, limit=500)
    assert {one["strategyId"] for one in everything[0]} >= {*made, firm}


async def test_every_change_is_in_the_audit_log(served: Site) -> None:
    trader, admin = await served.person(Role.TRADER), await served.person(Role.TENANT_ADMIN)
    shown = await saved(served, trader, "told")
    path = f"{PATH}/{shown['strategyId']}"
    await served.send("PUT", trader, path, {"source": CROSS})
    second = (await served.send("PUT", trader, path, {"source": PLAIN})).json()
    await served.send("DELETE", trader, path)
    await served.world.settle()
    await served.chain()
    pages = await served.pages(admin, "/audit-logs", limit=500)
    logged = [one for rows in pages for one in rows if "payload" in one]
    told = [one for one in logged if one["payload"].get("strategyId") == shown["strategyId"]]
    assert sorted(one["eventType"] for one in told) == [
        "strategy.archived", "strategy.created", "strategy.saved",
    ]  # fmt: skip
    hashes = {one["eventType"]: one["payload"].get("sourceHash") for one in told}
    assert hashes["strategy.created"] == shown["sourceHash"]
    assert hashes["strategy.saved"] == second["sourceHash"]


NOT_TAKEN: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "/source"),
    ({"source": "x" * (SOURCE_BYTES_MAX + 1)}, "/source"),
    ({"source": 5}, "/source"),
    ({"source": PLAIN, "name": ""}, "/name"),
    ({"source": PLAIN, "name": "x" * 101}, "/name"),
    ({"source": PLAIN, "name": "a\nb"}, "/name"),
    ({"source": PLAIN, "owner": NOBODY}, "/owner"),
)


async def test_a_field_that_does_not_hold_is_named(served: Site) -> None:
    trader = await served.person(Role.TRADER)
    for body, pointer in NOT_TAKEN:
        answer = await served.send("POST", trader, PATH, {"name": "n", **body})
        assert problem(answer) == (422, "invalid_fields"), body
        assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]
    for base in (0, -1, 1 << 31, "x"):
        place = f"{PATH}/{NOBODY}"
        answer = await served.send("PUT", trader, place, {"source": PLAIN, "baseVersion": base})
        assert [one["pointer"] for one in answer.json()["errors"]] == ["/baseVersion"]


async def test_a_source_as_long_as_the_compiler_reads_is_taken(served: Site) -> None:
    trader = await served.person(Role.TRADER)
    line = f"// {'é' * 900}\n"
    source = PLAIN + line * ((SOURCE_BYTES_MAX - len(PLAIN)) // len(line))
    shown = await saved(served, trader, "long", source)
    assert shown["source"] == source
    assert len(json.dumps(source)) > 1_000_000
    flood = json.dumps({"name": "flood", "source": "x" * 2_200_000})
    answer = await served.client.post(
        f"/tenants/{ALPHA}{PATH}", content=flood,
        headers={**trader.headers, "content-type": "application/json"},
    )  # fmt: skip
    assert problem(answer) == (413, "payload_too_large")


async def test_an_editor_asks_and_nothing_is_saved(served: Site) -> None:
    trader = await served.person(Role.TRADER)
    checked = (await served.send("POST", trader, f"{PATH}/check", {"source": CROSS})).json()
    assert checked["ok"] is True
    assert checked["diagnostics"] == checked["facts"]["warnings"]
    broken = (await served.send("POST", trader, f"{PATH}/check", {"source": BROKEN})).json()
    assert (broken["ok"], broken["facts"], broken["sourceHash"]) == (False, None, None)
    found = broken["diagnostics"][0]
    assert found["line"] == 2
    assert "sma" in found["suggestion"]

    ugly = 'on tick\n  x=bid+1\n  plot( "x",x )\n'
    tidy = (await served.send("POST", trader, f"{PATH}/format", {"source": ugly})).json()
    assert tidy["source"] == 'on tick\n    x = bid + 1\n    plot("x", x)\n'
    at = {"source": CROSS, "offset": CROSS.index("sma(mid, fast)") + 2}
    items = (await served.send("POST", trader, f"{PATH}/complete", at)).json()["items"]
    assert "sma" in {one["name"] for one in items}
    assert all(one["name"].lower().startswith("sm") for one in items)
    hover = (await served.send("POST", trader, f"{PATH}/hover", at)).json()["item"]
    assert (hover["name"], hover["kind"]) == ("sma", "function")
    assert "Simple moving average" in hover["doc"]
    nothing = await served.send("POST", trader, f"{PATH}/hover", {"source": "", "offset": 0})
    assert nothing.json() == {"item": None}
    wish = {"source": CROSS, "offset": CROSS.index("fast"), "name": "quick"}
    edits = (await served.send("POST", trader, f"{PATH}/rename", wish)).json()["edits"]
    assert [CROSS[one["start"] : one["end"]] for one in edits] == ["fast", "fast"]
    for wrong, pointer in (
        ({**wish, "name": "slow"}, "/name"),
        ({**wish, "offset": len(CROSS) + 1}, ""),
        ({**wish, "offset": -1}, "/offset"),
    ):
        refused = await served.send("POST", trader, f"{PATH}/rename", wrong)
        assert problem(refused) == (422, "invalid_fields")
        assert [one["pointer"] for one in refused.json()["errors"]] == [pointer]
    assert (await served.get(trader, PATH)).json()["items"] == []
    viewer = await served.person(Role.VIEWER)
    denied = await served.send("POST", viewer, f"{PATH}/check", {"source": CROSS})
    assert problem(denied) == (403, "forbidden")
