"""`quantlab replay`: decide an account again from its record, here or anywhere."""

import json as text
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from quantlab.engine.bad_ticks import BadTicks
from quantlab.engine.bad_ticks_document import write_difference
from quantlab.engine.other_rules import write_compared
from quantlab.engine.replay import Report, verify
from quantlab.engine.replay_file import ReplayFileError, read_document
from quantlab.rules.reader import ProfileError
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.replay import export_recording, what_if_without
from quantlab_app.use_cases.what_if import (
    judge_replayed,
    proposal_of_profile,
    proposal_of_version,
)
from quantlab_server.cli.connecting import State, every_tenant, operator, with_ports
from quantlab_server.cli.printing import Json, print_facts, refuse
from quantlab_server.refusal import Refusal

app = typer.Typer(no_args_is_help=True, help="Decide an account's commands again from its record.")
Account = Annotated[UUID, typer.Argument(help="Identifier of the account.")]
Tenant = Annotated[str | None, typer.Option(help="The account's tenant; by default any.")]
File = Annotated[Path, typer.Argument(help="The JSON file of a recording.")]


@app.command()
def account(
    account: Account, tenant: Tenant = None, state: State = Path(".state"), *, json: Json = False
) -> None:
    """Replay an account of a running group; exit code 1 at the first difference."""
    report, _ = _exported(state, tenant, str(account))
    _tell(report, {"accountId": str(account)}, as_json=json)


@app.command()
def export(
    account: Account,
    file: File,
    tenant: Tenant = None,
    state: State = Path(".state"),
    *,
    json: Json = False,
) -> None:
    """Write an account's recording to a file that `check` needs nothing else for."""
    report, document = _exported(state, tenant, str(account))
    try:
        file.write_text(text.dumps(document, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        refuse(f"{file}: {error.strerror}.")
    _tell(report, {"accountId": str(account), "file": str(file)}, as_json=json)


@app.command()
def check(file: File, *, json: Json = False) -> None:
    """Replay a file, without any store; exit code 1 at the first difference."""
    try:
        recording, written_hash = read_document(_read_json(file))
    except ReplayFileError as error:
        refuse(f"{file}: {error}.")
    report = verify(recording)
    facts = {"accountId": recording.opening.account_id, "writtenHash": written_hash}
    _tell(report, facts, as_json=json, same=written_hash == report.trace_hash)


@app.command()
def without(
    account: Account,
    symbol: Annotated[str, typer.Option(help="The symbol of the bad ticks.")],
    from_seq: Annotated[int, typer.Option(min=1, help="The first bad tick's seq.")],
    to_seq: Annotated[int, typer.Option(min=1, help="The last bad tick's seq.")],
    tenant: Tenant = None,
    state: State = Path(".state"),
    *,
    json: Json = False,
) -> None:
    """Say what an account would be without some ticks; nothing is changed."""
    if to_seq < from_seq:
        refuse(f"--to-seq: expected at least {from_seq}, got {to_seq}.")
    bad = BadTicks(symbol, from_seq, to_seq)

    async def act(ports: Ports) -> dict[str, Any]:
        scope = await _scope_of(ports, tenant, str(account))
        found = await what_if_without(ports, scope, str(account), bad)
        return write_difference(found, bad, (), ports.catalog)

    print_facts({"accountId": str(account), **with_ports(state, act)}, as_json=json)


@app.command()
def under(
    account: Account,
    profile: Annotated[
        Path | None, typer.Option(help="A rule profile's JSON file, instead of the account's.")
    ] = None,
    config_version: Annotated[
        str | None, typer.Option(help="A recorded version of the tenant's configuration.")
    ] = None,
    tenant: Tenant = None,
    state: State = Path(".state"),
    *,
    json: Json = False,
) -> None:
    """Say what an account would have become under other rules; nothing is changed."""
    if (profile is None) == (config_version is None):
        raise typer.BadParameter("expected either --profile or --config-version.")
    document = None if profile is None else _read_json(profile)

    async def act(ports: Ports) -> dict[str, Any]:
        scope = await _scope_of(ports, tenant, str(account))
        owned = await ports.accounts.find(scope, str(account))
        if document is not None:
            proposal = await proposal_of_profile(ports, scope, document)
        else:
            proposal = await proposal_of_version(ports, scope, config_version or "")
        if owned is None:
            raise Refusal(f"no account {account}.")
        judged = await judge_replayed(ports, scope, owned, proposal, ticks_max=None)
        replay = {} if judged.replay is None else write_compared(judged.replay)
        return {"outcome": judged.outcome, "detail": judged.detail, **replay}

    try:
        facts = with_ports(state, act)
    except ProfileError as error:
        problem = error.problems[0]
        refuse(f"{profile}{problem.pointer}: expected {problem.expected}, got {problem.got}.")
    print_facts({"accountId": str(account), **facts}, as_json=json)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = text.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        refuse(f"{file}: {error.strerror}.")
    except ValueError as error:
        refuse(f"{file}: expected JSON: {error}.")
    if not isinstance(found, dict):
        refuse(f"{file}: expected an object.")
    return found


async def _scope_of(ports: Ports, tenant: str | None, account_id: str) -> Scope:
    for tenant_id in await every_tenant(ports, tenant):
        scope = operator(tenant_id)
        if await ports.accounts.find(scope, account_id) is not None:
            return scope
    raise Refusal(f"no account {account_id}{'' if tenant is None else f' of {tenant}'}.")


def _exported(state: Path, tenant: str | None, account_id: str) -> tuple[Report, dict[str, Any]]:
    async def act(ports: Ports) -> tuple[Report, dict[str, Any]]:
        scope = await _scope_of(ports, tenant, account_id)
        return await export_recording(ports, scope, account_id)

    return with_ports(state, act)


def _tell(report: Report, facts: dict[str, Any], *, as_json: bool, same: bool = True) -> None:
    found: dict[str, Any] = {
        **facts,
        "traceHash": report.trace_hash,
        "commands": report.commands,
        "matches": report.matches and same,
    }
    difference = report.difference
    if difference is not None:
        found["difference"] = asdict(difference) if as_json else str(difference)
    elif not same:
        found["difference"] = "all records follow, but not with the hash written"
    print_facts(found, as_json=as_json)
    if not found["matches"]:
        raise typer.Exit(1)
