"""`quantlab halts`: halt an instrument for a tenant, let it trade again, list what is halted."""

from pathlib import Path
from typing import Annotated, Any

import typer

from quantlab_app.ports.container import Ports
from quantlab_app.ports.halts import KnownHalt
from quantlab_app.use_cases import halts
from quantlab_server.cli.connecting import State, every_tenant, moment, operator, with_ports
from quantlab_server.cli.printing import Json, print_facts, print_json

app = typer.Typer(no_args_is_help=True, help="Instruments that a tenant has halted.")
Tenant = Annotated[str, typer.Option(help="The tenant whose accounts are concerned.")]
Symbol = Annotated[str, typer.Argument(help="The symbol of the instrument.")]
Reason = Annotated[str, typer.Option(help="Why, in words that traders and auditors will read.")]
LISTED_MAX = 500


@app.command()
def halt(
    symbol: Symbol, reason: Reason, tenant: Tenant, state: State = Path(".state"), *,
    json: Json = False,
) -> None:  # fmt: skip
    """Halt an instrument: nothing of it fills and no order is taken; working orders stay."""

    async def act(ports: Ports) -> dict[str, Any]:
        await every_tenant(ports, tenant)
        known, new = await halts.halt(ports, operator(tenant), symbol, reason)
        return {**_shown(known), "new": new}

    print_facts(with_ports(state, act), as_json=json)


@app.command()
def resume(
    symbol: Symbol, reason: Reason, tenant: Tenant, state: State = Path(".state"), *,
    json: Json = False,
) -> None:  # fmt: skip
    """Let an instrument trade again; what waits is judged on its next quote."""

    async def act(ports: Ports) -> dict[str, Any]:
        await every_tenant(ports, tenant)
        resumed = await halts.resume(ports, operator(tenant), symbol, reason)
        return {"symbol": symbol, "resumed": resumed}

    print_facts(with_ports(state, act), as_json=json)


@app.command("list")
def list_halts(
    tenant: Tenant,
    state: State = Path(".state"),
    *,
    ended: Annotated[bool, typer.Option(help="Those that have ended as well.")] = False,
    json: Json = False,
) -> None:
    """List what is halted, newest first."""

    async def act(ports: Ports) -> list[dict[str, Any]]:
        await every_tenant(ports, tenant)
        only = None if ended else False
        found = await halts.list_halts(ports, operator(tenant), None, LISTED_MAX, ended=only)
        return [_shown(known) for known in found]

    found = with_ports(state, act)
    if json:
        print_json(found)
        return
    for known in found:
        print_facts(known, as_json=False)


def _shown(known: KnownHalt) -> dict[str, Any]:
    return {
        "symbol": known.symbol,
        "reason": known.reason,
        "haltedBy": known.halted_by,
        "haltedAt": moment(known.halted_ns),
        "resumedBy": known.resumed_by,
        "resumedAt": moment(known.resumed_ns),
        "resumedReason": known.resumed_reason,
    }
