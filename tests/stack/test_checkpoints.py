"""Bulk checkpoints on a real store: what the arrays find is what the plain judge finds."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.stack.test_schedules import given, move_clock, opened
from tests.support.stack import Stack, fresh_database
from tests.support.world import ALPHA, BETA, World, world

from quantlab.engine.context import equity_of
from quantlab.ledger.state import Account
from quantlab_adapters.postgres import checkpoints
from quantlab_app.ports.accounts import Rulebook
from quantlab_app.ports.errors import Misconfigured
from quantlab_app.ports.judging import FindRulebook, Moment, Swept
from quantlab_app.use_cases.execution import market_now
from quantlab_app.use_cases.schedules import CHECKPOINT_NS, CHECKPOINTS_KEPT, checkpoint_rules

pytestmark = pytest.mark.stack
EVERYTHING = "select * from quantlab.rule_checkpoint_account order by checkpoint_ns, account_id"


@pytest.fixture
async def small(
    stack: Stack, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[World, str]]:
    monkeypatch.setattr(checkpoints, "PAGE", 2)
    monkeypatch.setattr(checkpoints, "PLAIN_ACCOUNTS_MAX", 0)
    with fresh_database(stack) as database:
        shared = Path(tempfile.gettempdir()) / "quantlab-tests-native"
        shared.mkdir(mode=0o700, exist_ok=True)
        (tmp_path / "native").symlink_to(shared)
        async with world(database.app_dsn, redis_url, tmp_path) as made:
            await made.quote("EURUSD", "1.10000", "1.10010")
            yield made, database.superuser_dsn


def kept(superuser_dsn: str) -> list[dict[str, object]]:
    with psycopg.connect(superuser_dsn, row_factory=dict_row) as connection:
        return connection.execute(EVERYTHING).fetchall()


@pytest.mark.parametrize("plain_max", [0, 1, 2], ids=["compiled", "some of each", "plain"])
async def test_every_account_is_judged_in_pages_and_only_the_broken_one_is_asked(
    small: tuple[World, str], monkeypatch: pytest.MonkeyPatch, plain_max: int
) -> None:
    monkeypatch.setattr(checkpoints, "PLAIN_ACCOUNTS_MAX", plain_max)
    made, dsn = small
    broken = await opened(made, kind="evaluation-50k")
    others = [await made.account(ALPHA) for _ in range(4)]
    held = await opened(made, BETA)
    await made.quote("EURUSD", "1.07000", "1.07010")

    assert made.ports.checkpoints is not None
    clock = move_clock(made, made.ports.clock.now_ns())
    await checkpoint_rules(made.ports)

    assert await given(made) == ["check_rules"]
    rows = {str(row["account_id"]): row for row in kept(dsn)}
    assert set(rows) == {broken, held, *others}
    market, _ = await market_now(made.ports)
    for account_id, row in rows.items():
        account = await made.find(BETA if account_id == held else ALPHA, account_id)
        assert row["state"] == 0
        assert row["equity_minor"] == equity_of(account, market)
        assert row["event_seq"] == account.event_seq
        assert (row["broken"] != 0) == (account_id == broken)
        assert (row["equity_minor"] < row["breach_below_minor"]) == (account_id == broken)

    for _ in range(CHECKPOINTS_KEPT + 1):
        clock.at_ns += CHECKPOINT_NS
        await checkpoint_rules(made.ports)
    assert len({row["checkpoint_ns"] for row in kept(dsn)}) == CHECKPOINTS_KEPT + 1


async def test_a_tenant_whose_checkpoint_fails_costs_no_other_its_own(
    small: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, dsn = small
    broken, held = await opened(made), await opened(made, BETA)
    move_clock(made, made.ports.clock.now_ns())
    sweep = checkpoints.PostgresCheckpoints.sweep

    async def refuse(self: Any, tenant_id: str, moment: Moment, rulebook_of: FindRulebook) -> Swept:
        if tenant_id == ALPHA:
            raise Misconfigured("broken")
        return await sweep(self, tenant_id, moment, rulebook_of)

    monkeypatch.setattr(checkpoints.PostgresCheckpoints, "sweep", refuse)
    with pytest.raises(Misconfigured, match="broken"):
        await checkpoint_rules(made.ports)
    assert [str(row["account_id"]) for row in kept(dsn)] == [held]
    monkeypatch.undo()
    await checkpoint_rules(made.ports)
    assert {str(row["account_id"]) for row in kept(dsn)} == {broken, held}


async def test_without_a_living_quote_nothing_is_known_and_nobody_is_asked(
    small: tuple[World, str],
) -> None:
    made, dsn = small
    await opened(made)
    clock = move_clock(made, made.ports.clock.now_ns())
    clock.at_ns += 60 * 10**9

    assert await checkpoint_rules(made.ports) == 0
    assert [row["state"] for row in kept(dsn)] == [1]


async def test_the_same_checkpoint_again_replaces_its_findings(small: tuple[World, str]) -> None:
    made, dsn = small
    await opened(made)
    move_clock(made, made.ports.clock.now_ns())
    await checkpoint_rules(made.ports)
    await checkpoint_rules(made.ports)
    assert len(kept(dsn)) == 1


async def test_pages_beyond_what_is_read_ahead_are_judged_and_a_failure_leaves_what_was(
    small: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, dsn = small
    monkeypatch.setattr(checkpoints, "PAGE", 1)
    monkeypatch.setattr(checkpoints, "PAGES_AHEAD", 2)
    broken = [await opened(made, kind="evaluation-50k") for _ in range(3)]
    others = [await made.account(ALPHA) for _ in range(6)]
    await made.quote("EURUSD", "1.07000", "1.07010")
    market, now_ns = await market_now(made.ports)
    moment = Moment(now_ns, market, now_ns)
    assert made.ports.checkpoints is not None

    swept = await made.ports.checkpoints.sweep(ALPHA, moment, made.ports.rulebooks.of)

    assert swept.judged == len(broken) + len(others)
    assert sorted(swept.asking) == sorted(broken)
    assert {str(row["account_id"]) for row in kept(dsn)} == {*broken, *others}

    before = kept(dsn)
    asked = 0

    async def unknown_from_the_fourth_on(like: Account) -> Rulebook:
        nonlocal asked
        asked += 1
        if asked > 3:
            raise LookupError("no such version")
        return await made.ports.rulebooks.of(like)

    for checkpoint_ns in (now_ns, now_ns + CHECKPOINT_NS):
        asked = 0
        again = Moment(checkpoint_ns, market, now_ns)
        with pytest.raises(ExceptionGroup, match="unhandled errors") as raised:
            await made.ports.checkpoints.sweep(ALPHA, again, unknown_from_the_fourth_on)
        assert raised.group_contains(LookupError, match="no such version")
        assert asked > 3
        assert kept(dsn) == before
