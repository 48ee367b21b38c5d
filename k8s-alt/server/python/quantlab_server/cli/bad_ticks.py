"""`quantlab bad-ticks`: mark ticks as bad, recompute accounts without them, ask for corrections.

Corrections are decided by people who sign in: a command holds no person.
"""

from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer

from quantlab.engine.bad_ticks import BadTicks
from quantlab_app.ports.bad_ticks import AccountDifference, BadTickRange
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases import bad_ticks
from quantlab_app.use_cases.approvals import Refused
from quantlab_server.cli.connecting import State, every_tenant, moment, operator, with_ports
from quantlab_server.cli.printing import Json, print_facts, print_json
from quantlab_server.refusal import Refusal

app = typer.Typer(no_args_is_help=True, help="Ticks that should never have been.")
Tenant = Annotated[str, typer.Option(help="The tenant whose accounts are concerned.")]
RangeId = Annotated[UUID, typer.Argument(help="Identifier of the marked range.")]
Reason = Annotated[str, typer.Option(help="Why, in words that auditors will read.")]
Found = TypeVar("Found")
PAGE, STEP = 500, 20


@app.command()
def mark(
    symbol: Annotated[str, typer.Option(help="The symbol of the bad ticks.")],
    from_seq: Annotated[int, typer.Option(min=1, help="The first bad tick's seq.")],
    to_seq: Annotated[int, typer.Option(min=1, help="The last bad tick's seq.")],
    reason: Reason,
    tenant: Tenant,
    state: State = Path(".state"),
    *,
    json: Json = False,
) -> None:
    """Mark a range of ticks as bad; the same range for the same reason is marked once."""
    bad = BadTicks(symbol, from_seq, to_seq)

    async def act(ports: Ports) -> dict[str, Any]:
        await every_tenant(ports, tenant)
        key = f"{symbol} {from_seq} {to_seq} {reason}"
        marked, new = _granted(await bad_ticks.mark(ports, operator(tenant), bad, reason, key))
        return {**_shown(marked), "new": new}

    print_facts(with_ports(state, act), as_json=json)


@app.command("list")
def list_ranges(tenant: Tenant, state: State = Path(".state"), *, json: Json = False) -> None:
    """List the marked ranges, newest first."""

    async def act(ports: Ports) -> list[dict[str, Any]]:
        await every_tenant(ports, tenant)
        found = await ports.bad_tick_ranges.page(operator(tenant), None, PAGE)
        return [_shown(marked) for marked in found]

    ranges = with_ports(state, act)
    if json:
        print_json(ranges)
        return
    for marked in ranges:
        print_facts(marked, as_json=False)


@app.command()
def withdraw(
    range_id: RangeId, reason: Reason, tenant: Tenant, state: State = Path(".state"), *,
    json: Json = False,
) -> None:  # fmt: skip
    """Hold marked ticks to be good again, while no correction of them was asked for."""

    async def act(ports: Ports) -> dict[str, Any]:
        await every_tenant(ports, tenant)
        scope = operator(tenant)
        return _shown(_granted(await bad_ticks.withdraw(ports, scope, str(range_id), reason)))

    print_facts(with_ports(state, act), as_json=json)


@app.command()
def recompute(
    range_id: RangeId, tenant: Tenant, state: State = Path(".state"), *, json: Json = False
) -> None:
    """Replay every account that may have seen the ticks without them; nothing is changed."""

    async def act(ports: Ports) -> list[AccountDifference]:
        await every_tenant(ports, tenant)
        scope, found, more = operator(tenant), list[AccountDifference](), True
        while more:
            step = _granted(await bad_ticks.recompute(ports, scope, str(range_id), STEP))
            found.extend(step.differences)
            more = step.more
        return found

    found = with_ports(state, act)
    facts = {
        "rangeId": str(range_id),
        "recomputed": len(found),
        "affected": [_difference(one) for one in found if one.affected],
        "problems": {one.account_id: one.problem for one in found if one.problem is not None},
    }
    print_facts(facts, as_json=json)
    if facts["problems"]:
        raise typer.Exit(1)


@app.command()
def request(
    range_id: RangeId,
    tenant: Tenant,
    account: Annotated[UUID | None, typer.Option(help="One account; by default all.")] = None,
    state: State = Path(".state"),
    *,
    json: Json = False,
) -> None:
    """Ask for the corrections of the affected accounts; people decide each at the approvals."""

    async def act(ports: Ports) -> dict[str, Any]:
        await every_tenant(ports, tenant)
        scope, marked = operator(tenant), str(range_id)
        asked: dict[str, Any] = {}
        for account_id in [str(account)] if account else await _affected(ports, tenant, marked):
            found = await bad_ticks.request_correction(ports, scope, account_id, marked)
            asked[account_id] = (
                {"refused": str(found.because), "detail": found.detail}
                if isinstance(found, Refused)
                else {"approvalId": found.approval.approval_id, "state": found.approval.state}
            )
        return asked

    asked = with_ports(state, act)
    print_facts(asked, as_json=json)
    if any("refused" in one for one in asked.values()):
        raise typer.Exit(1)


async def _affected(ports: Ports, tenant: str, range_id: str) -> list[str]:
    found: list[str] = []
    while page := await ports.bad_tick_ranges.differences(
        operator(tenant), range_id, after=found[-1] if found else None, limit=PAGE, affected=True
    ):
        found.extend(one.account_id for one in page)
    return found


def _granted(found: Found | Refused) -> Found:
    if isinstance(found, Refused):
        raise Refusal(f"{found.pointer or found.because}: {found.detail}.")
    return found


def _shown(marked: BadTickRange) -> dict[str, Any]:
    return {
        "rangeId": marked.range_id,
        "symbol": marked.bad.symbol,
        "fromSeq": marked.bad.from_seq,
        "toSeq": marked.bad.to_seq,
        "ticks": marked.ticks,
        "reason": marked.reason,
        "markedBy": marked.marked_by,
        "markedAt": moment(marked.marked_ns),
        "withdrawnBy": marked.withdrawn_by,
        "withdrawnAt": moment(marked.withdrawn_ns),
        "withdrawnReason": marked.withdrawn_reason,
    }


def _difference(one: AccountDifference) -> dict[str, Any]:
    document = one.document
    names = ("amount", "balance", "balanceWithout", "status", "statusWithout", "liftsRule")
    return {"accountId": one.account_id, **{name: document[name] for name in names}}
