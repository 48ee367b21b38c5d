"""Accounts that move to rules with another reset, on real stores."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.stack.test_schedules import move_clock, opened
from tests.support.world import ALPHA, World

from quantlab.kernel.instants import SECOND_NS
from quantlab.ledger.state import Account
from quantlab.rules.calendar import day_of
from quantlab.tenancy.config import config_of_resolved
from quantlab_app.use_cases.accounts import move_config
from quantlab_app.use_cases.provisioning import provision
from quantlab_app.use_cases.schedules import roll_days

pytestmark = pytest.mark.stack
PRAGUE = {"reset": "00:00", "timeZone": "Europe/Prague"}
NEW_YORK = {"reset": "17:00", "timeZone": "America/New_York"}
KIND = "evaluation-50k"


@pytest.fixture
async def small(small: World) -> World:
    await small.quote("EURUSD", "1.10000", "1.10010")
    return small


async def provide(small: World, day: dict[str, str]) -> None:
    """Record a configuration in which days of the account type are these."""
    document: dict[str, Any] = json.loads(json.dumps(small.configs[ALPHA].document))
    for kind in document["accountTypes"]:
        kind["profileContent"]["day"] = day
    small.configs[ALPHA] = config_of_resolved(document)
    await provision(small.ports, small.scope(ALPHA), small.configs[ALPHA])


async def to(small: World, account_id: str, day: dict[str, str]) -> Account:
    """Move an account to rules with other day terms; return it then."""
    await provide(small, day)
    await small.carry_out(move_config(small.ports, small.scope(ALPHA), account_id), ALPHA)
    return await small.find(ALPHA, account_id)


async def roll(small: World, now_ns: int, account_id: str) -> Account:
    """Come to a moment, have days rolled and trade a little."""
    move_clock(small, now_ns)
    await small.quote("EURUSD", "1.10000", "1.10010")
    await roll_days(small.ports)
    await small.settle(ALPHA)
    action = "close" if (await small.find(ALPHA, account_id)).positions else "buy"
    order = {"symbol": "EURUSD", "action": action, "id": f"{now_ns}"}
    order |= {"quantity": "1"} if action == "buy" else {}
    await small.send(small.bots[-1], order)
    await small.settle(ALPHA)
    return await small.find(ALPHA, account_id)


@pytest.mark.parametrize(("old", "new"), [(PRAGUE, NEW_YORK), (NEW_YORK, PRAGUE)])
async def test_every_day_has_a_date_of_its_own_whatever_the_reset_was_before(
    small: World, old: dict[str, str], new: dict[str, str]
) -> None:
    await provide(small, old)
    account_id = await opened(small, kind=KIND)
    account = await to(small, account_id, new)
    began = account.day
    for _ in range(4):
        ended = account.day
        account = await roll(small, ended.next_reset_ns + SECOND_NS, account_id)
        assert account.day.next_reset_ns > ended.next_reset_ns
        if account.day.date != ended.date:
            assert account.day.started_ns == ended.next_reset_ns
    dates = [day.date for day in account.closed_days]
    assert dates == sorted(set(dates))
    assert dates[0] == began.date
    assert (
        account.day.next_reset_ns
        == day_of(account.day.next_reset_ns - 1, new["reset"], new["timeZone"]).next_reset_ns
    )


async def test_the_first_reset_after_a_move_is_judged_by_the_quotes_before_it(
    small: World,
) -> None:
    """Prague's day began hours before the open day of New York ends, at 1.00 the loss breaks."""
    await provide(small, NEW_YORK)
    account_id = await opened(small, kind=KIND)
    account = await to(small, account_id, PRAGUE)
    reset_ns = account.day.next_reset_ns
    midnight_ns = day_of(reset_ns, PRAGUE["reset"], PRAGUE["timeZone"]).started_ns
    await small.ports.tick_log.open()
    for ends_ns, price in ((midnight_ns, "1.00000"), (reset_ns, "1.10500")):
        quote = small.made("EURUSD", price, price)
        await small.ports.tick_log.append([replace(quote, ts_ns=ends_ns - SECOND_NS)])
    await small.ports.tick_log.close()

    account = await roll(small, reset_ns + 20 * SECOND_NS, account_id)

    assert account.status == "active"
    assert account.day.start_equity_minor == 5_000_000 + 49_000
