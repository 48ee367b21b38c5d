"""`quantlab audit`: walk the audit chains and name the first link that does not hold."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from quantlab.audit.chain import TENANT_STREAM
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.audit import walk
from quantlab_server.cli.connecting import State, every_tenant, operator, with_ports
from quantlab_server.cli.printing import Json, print_json

app = typer.Typer(no_args_is_help=True, help="Check the audit log.")


@app.callback()
def group() -> None:
    """Check the audit log."""


@app.command()
def chain(
    tenant: Annotated[str | None, typer.Option(help="The chains of one tenant.")] = None,
    state: State = Path(".state"),
    *,
    every: Annotated[bool, typer.Option("--all", help="The chains of every tenant.")] = False,
    json: Json = False,
) -> None:
    """Recompute every hash from the first link on; exit code 1 when one does not hold."""
    if every == (tenant is not None):
        raise typer.BadParameter("expected either --tenant ID or --all.")

    async def act(ports: Ports) -> list[dict[str, Any]]:
        return [
            await _described(ports, tenant_id) for tenant_id in await every_tenant(ports, tenant)
        ]

    tenants = with_ports(state, act)
    whole = all(tenant["whole"] for tenant in tenants)
    if json:
        print_json({"whole": whole, "tenants": tenants})
    else:
        _print(tenants)
    if not whole:
        raise typer.Exit(1)


async def _described(ports: Ports, tenant_id: str) -> dict[str, Any]:
    chains = []
    async for head, broken in walk(ports, operator(tenant_id)):
        chains.append(
            {
                "accountId": None if head.stream_id == TENANT_STREAM else head.stream_id,
                "length": head.seq,
                "head": head.hash.hex(),
                "broken": None if broken is None else {"seq": broken.seq, "reason": broken.reason},
            }
        )
    whole = all(chain["broken"] is None for chain in chains)
    return {"tenantId": tenant_id, "whole": whole, "chains": chains}


def _print(tenants: list[dict[str, Any]]) -> None:
    table = Table("Tenant", "Chain", "Length", "State")
    for tenant in tenants:
        for found in tenant["chains"]:
            broken = found["broken"]
            words = "whole" if broken is None else f"broken at {broken['seq']}: {broken['reason']}"
            name = found["accountId"] or "the tenant's own"
            table.add_row(tenant["tenantId"], name, str(found["length"]), words)
    Console(soft_wrap=True).print(table)
