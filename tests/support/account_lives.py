"""Accounts that have come some way: funded, breached, with books that hold."""

from typing import Any

from tests.support.program_cases import TYPE, record_steps
from tests.support.resources import Person, Site

YES = {"reason": "looked at"}


async def gain(served: Site, owner: Person, account_id: str) -> None:
    """Buy a lot of EURUSD and sell it 100 ticks higher: 100.00 less the fees."""
    path = f"/accounts/{account_id}/orders"
    await served.world.quote("EURUSD", "1.08000", "1.08000")
    buy = {"symbol": "EURUSD", "side": "buy", "quantity": "1"}
    answer = await served.send("POST", owner, path, buy)
    assert answer.status_code == 201, answer.text
    await served.world.quote("EURUSD", "1.08110", "1.08110")
    answer = await served.send("POST", owner, path, {**buy, "side": "sell"})
    assert answer.status_code == 201, answer.text


async def shown(served: Site, person: Person, account_id: str) -> dict[str, Any]:
    answer = await served.get(person, f"/accounts/{account_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def funded(served: Site, owner: Person) -> str:
    """Open a funded account with a profit."""
    await record_steps(served.world)
    account_id = await served.account(owner, f"{TYPE}/funded")
    await gain(served, owner, account_id)
    return account_id


async def ledger_holds(served: Site, person: Person, account_id: str) -> list[tuple[str, str]]:
    account = await shown(served, person, account_id)
    rows = (await served.get(person, f"/accounts/{account_id}/ledger")).json()["items"]
    cents = sum(int(row["amount"].replace(".", "")) for row in rows)
    assert cents == int(account["balance"].replace(".", ""))
    return [(row["kind"], row["amount"]) for row in rows]
