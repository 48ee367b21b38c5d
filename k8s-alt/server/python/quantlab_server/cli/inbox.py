"""`quantlab inbox`: commands that failed too often, what is known of one, another chance."""

from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from quantlab_app.ports.container import Ports
from quantlab_app.ports.inbox import Delivery
from quantlab_app.use_cases.deliveries import Tracked, read_dead, tracked
from quantlab_server.cli.connecting import State, every_tenant, moment, operator, with_ports
from quantlab_server.cli.printing import Json, print_facts, print_json
from quantlab_server.refusal import Refusal

PAGE: Final = 500

app = typer.Typer(no_args_is_help=True, help="Look after commands that failed.")
Tenant = Annotated[str | None, typer.Option(help="One tenant; by default every one.")]
Signal = Annotated[UUID, typer.Argument(help="Identifier of the signal or command.")]


@app.command()
def dead(tenant: Tenant = None, state: State = Path(".state"), *, json: Json = False) -> None:
    """List the dead letters, newest first."""

    async def act(ports: Ports) -> list[dict[str, Any]]:
        return [
            _described(tenant_id, delivery)
            for tenant_id in await every_tenant(ports, tenant)
            for delivery in await _every_dead(ports, tenant_id)
        ]

    letters = with_ports(state, act)
    if json:
        print_json(letters)
        return
    table = Table("Tenant", "Signal", "Command", "Account", "Attempts", "Received", "Reason")
    for letter in letters:
        keys = ("tenantId", "signalId", "command", "accountId", "attempts", "receivedAt", "reason")
        table.add_row(*(str(letter[key]) for key in keys))
    Console(soft_wrap=True).print(table)


@app.command()
def show(
    signal: Signal, tenant: Tenant = None, state: State = Path(".state"), *, json: Json = False
) -> None:
    """Show one command with its timeline."""

    async def act(ports: Ports) -> dict[str, Any]:
        tenant_id, delivery = await _find(ports, tenant, str(signal))
        known = await tracked(ports, operator(tenant_id), delivery)
        return {**_described(tenant_id, delivery), **_history(known)}

    print_facts(with_ports(state, act), as_json=json)


@app.command()
def redrive(
    signal: Signal, tenant: Tenant = None, state: State = Path(".state"), *, json: Json = False
) -> None:
    """Put a dead command back in its place; its account's writer tries it again."""

    async def act(ports: Ports) -> dict[str, Any]:
        tenant_id, delivery = await _find(ports, tenant, str(signal))
        if not await ports.inbox.redrive(operator(tenant_id), delivery.signal_id):
            raise Refusal(f"{signal} of {tenant_id} is not dead; it is {delivery.status}.")
        return {"tenantId": tenant_id, "signalId": delivery.signal_id, "status": "accepted"}

    print_facts(with_ports(state, act), as_json=json)


async def _every_dead(ports: Ports, tenant_id: str) -> list[Delivery]:
    letters: list[Delivery] = []
    while True:
        before = letters[-1].inbox_id if letters else None
        page = await read_dead(ports, operator(tenant_id), before, PAGE)
        letters.extend(page)
        if len(page) < PAGE:
            return letters


async def _find(ports: Ports, tenant: str | None, signal_id: str) -> tuple[str, Delivery]:
    for tenant_id in await every_tenant(ports, tenant):
        delivery = await ports.inbox.delivery(operator(tenant_id), signal_id)
        if delivery is not None:
            return tenant_id, delivery
    raise Refusal(f"no command {signal_id}{'' if tenant is None else f' of {tenant}'}.")


def _described(tenant_id: str, delivery: Delivery) -> dict[str, Any]:
    return {
        "tenantId": tenant_id,
        "signalId": delivery.signal_id,
        "source": f"{delivery.source_kind}:{delivery.source_id}",
        "command": delivery.name,
        "accountId": delivery.account_id,
        "status": delivery.status,
        "reason": delivery.reason,
        "attempts": delivery.attempts,
        "duplicates": delivery.duplicates,
        "receivedAt": moment(delivery.received_ns),
        "doneAt": moment(delivery.done_ns),
        "payload": delivery.payload,
        "result": delivery.result,
    }


def _history(known: Tracked) -> dict[str, Any]:
    return {
        "timeline": [
            {"event": step.event, "at": moment(step.at_ns), "reason": step.reason}
            for step in known.timeline
        ]
    }
