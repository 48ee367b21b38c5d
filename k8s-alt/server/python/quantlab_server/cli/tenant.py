"""`quantlab tenant`: check tenant files, list them, and make one current."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from quantlab.kernel.instants import format_rfc3339
from quantlab.rules.reader import ProfileError
from quantlab.tenancy.permissions import Role
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Misconfigured
from quantlab_app.use_cases.api_keys import create_api_key
from quantlab_app.use_cases.news import put_calendar
from quantlab_app.use_cases.provisioning import provision
from quantlab_edge.tenant_files import Configs, TenantFile, read_configs, read_tenant, read_tenants
from quantlab_server.cli.connecting import State, every_tenant, operator, with_ports
from quantlab_server.cli.printing import print_facts, refuse
from quantlab_server.refusal import Refusal

app = typer.Typer(no_args_is_help=True, help="Tenant configurations.")

DEFAULT_CONFIGS = Path("agent/configs")
SCHEMA = "tenant.schema.json"

ConfigsOption = Annotated[
    Path | None,
    typer.Option(
        "--configs",
        envvar="QUANTLAB_CONFIGS",
        help="The folder with tenant.schema.json, instruments.json, profiles and tenants.",
        show_default="beside FILE, else agent/configs",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(help="A tenant file.")],
    configs: ConfigsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check one tenant file: say line, field, expected and got of every problem in it."""
    beside = file.resolve().parent.parent
    found = _configs(configs or (beside if (beside / SCHEMA).is_file() else DEFAULT_CONFIGS))
    try:
        checked = read_tenant(file, found)
    except Misconfigured as error:
        raise _stopped(error) from error
    if as_json:
        typer.echo(json.dumps(_document(checked), ensure_ascii=False))
    elif checked.config is not None:
        typer.echo(f"ok: {checked.config.tenant_id} version {checked.config.version}")
    else:
        for problem in checked.problems:
            typer.echo(f"{file}: {problem}")
    if checked.config is None:
        raise typer.Exit(1)


@app.command("apply")
def apply_tenant(
    file: Annotated[Path, typer.Argument(help="A tenant file.")],
    configs: ConfigsOption = None,
    state: State = Path(".state"),
    as_json: JsonOption = False,
) -> None:
    """Make a tenant file current: a change is a new version, running accounts keep theirs.

    A tenant's first version comes with its API key, shown once.
    """
    beside = file.resolve().parent.parent
    folder = configs or (beside if (beside / SCHEMA).is_file() else DEFAULT_CONFIGS)
    try:
        config = read_tenant(file, _configs(folder)).config
    except Misconfigured as error:
        raise _stopped(error) from error
    if config is None:
        raise Refusal(f"{file} does not hold; quantlab tenant validate says where")

    async def act(ports: Ports) -> dict[str, Any]:
        scope = operator(config.tenant_id)
        facts: dict[str, Any] = {"tenantId": config.tenant_id, "version": config.version}
        facts["changed"] = await provision(ports, scope, config)
        if not await ports.api_keys.page(scope, 1, None):
            made = await create_api_key(ports, scope, name="first", role=Role.TENANT_ADMIN)
            if not isinstance(made, tuple):
                raise Refusal(f"no API key for {config.tenant_id}: {made}")
            facts["apiKey"] = made[1]
        return facts

    print_facts(with_ports(state, act), as_json=as_json)


@app.command()
def news(
    file: Annotated[Path, typer.Argument(help="The JSON file of a calendar of releases.")],
    tenant: Annotated[str, typer.Option(help="The tenant whose calendar it is.")],
    state: State = Path(".state"),
    as_json: JsonOption = False,
) -> None:
    """Replace a tenant's news calendar: say field, expected and got of every problem in it."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        refuse(f"{file}: {error.strerror}.")
    except ValueError as error:
        refuse(f"{file}: expected JSON: {error}.")

    async def act(ports: Ports) -> dict[str, Any]:
        await every_tenant(ports, tenant)
        stored, changed = await put_calendar(ports, operator(tenant), document)
        return {
            "tenantId": tenant,
            "version": stored.version,
            "events": len(stored.calendar.events),
            "until": format_rfc3339(stored.calendar.until_ns),
            "changed": changed,
        }

    try:
        facts = with_ports(state, act)
    except ProfileError as refused:
        for one in refused.problems:
            typer.echo(f"{file}: {one.pointer or '/'}: expected {one.expected}, got {one.got}")
        raise typer.Exit(1) from refused
    print_facts(facts, as_json=as_json)


@app.command("list")
def list_tenants(configs: ConfigsOption = None, as_json: JsonOption = False) -> None:
    """List the tenant files of the configuration folder with their versions."""
    try:
        files = read_tenants(_configs(configs or DEFAULT_CONFIGS))
    except Misconfigured as error:
        raise _stopped(error) from error
    if as_json:
        typer.echo(json.dumps([_document(file) for file in files], ensure_ascii=False))
    else:
        Console().print(_table(files))
    if any(file.config is None for file in files):
        raise typer.Exit(1)


def _configs(folder: Path) -> Configs:
    try:
        return read_configs(folder)
    except Misconfigured as error:
        raise _stopped(error) from error


def _stopped(error: Misconfigured) -> typer.Exit:
    typer.echo(str(error), err=True)
    return typer.Exit(2)


def _document(file: TenantFile) -> dict[str, Any]:
    config = file.config
    document: dict[str, Any] = {"file": str(file.path), "ok": config is not None}
    if config is not None:
        document |= {"tenantId": config.tenant_id, "name": config.branding.name}
        document |= {"version": config.version}
    document["problems"] = [
        {
            "line": problem.line,
            "column": problem.column,
            "field": problem.field,
            "pointer": problem.pointer,
            "expected": problem.expected,
            "got": problem.got,
        }
        for problem in file.problems
    ]
    return document


def _table(files: tuple[TenantFile, ...]) -> Table:
    table = Table("Tenant", "Name", "Account types", "Instruments", "Version")
    for file in files:
        config = file.config
        if config is None:
            table.add_row(file.path.stem, f"{len(file.problems)} problems", "", "", "")
            continue
        kinds = ", ".join(config.account_types)
        count = str(len(config.instruments))
        table.add_row(config.tenant_id, config.branding.name, kinds, count, config.version[:12])
    return table
