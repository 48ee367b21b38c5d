"""`quantlab strategy`: saved strategies and their live runs, over REST as any client."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from quantlab_server.cli.printing import Json, print_facts, print_json
from quantlab_server.cli.rest import Answered, Rest, with_rest
from quantlab_server.refusal import Refusal

FOLLOW_S: Final = 1.0
UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
ENDED: Final = ("stopped", "killed", "failed")
SHOWN: Final = (
    "runId", "status", "reason", "detail", "strategyId", "version", "symbol", "inputs", "beganAt",
    "warmUpSeconds", "endedAt", "events", "ordersSent", "ordersRefused", "stateHash",
)  # fmt: skip

Account = Annotated[str, typer.Option(help="The account it runs on.")]
MaybeAccount = Annotated[str | None, typer.Option(help="The runs of this account instead.")]
Named = Annotated[str, typer.Argument(metavar="STRATEGY", help="Its name or identifier.")]

app = typer.Typer(
    no_args_is_help=True, help="Save strategies; start, watch and end their live runs."
)


@app.command()
@with_rest
def push(
    rest: Rest,
    file: Annotated[Path, typer.Argument(help="Source in QLS.")],
    name: Annotated[str | None, typer.Option(help="By default the file's, without .qls.")] = None,
    base_version: Annotated[
        int | None, typer.Option(min=1, help="Refuse where somebody has saved since.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Save a source as a strategy's next version, or as a new strategy of that name."""
    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Refusal(f"{file} cannot be read: {error}.") from error
    wanted = name or file.stem
    known = [one for one in rest.items("/strategies") if one["name"] == wanted]
    if len(known) > 1:
        raise Refusal(f"{len(known)} strategies have the name {wanted}: their owners differ.")
    if known:
        edit: dict[str, Any] = {"source": source}
        if base_version is not None:
            edit["baseVersion"] = base_version
        answer = rest.asked("PUT", f"/strategies/{known[0]['strategyId']}", edit)
    else:
        answer = rest.asked("POST", "/strategies", {"name": wanted, "source": source})
    saved = _saved(answer, str(file))
    facts = {one: saved[one] for one in ("strategyId", "name", "version", "sourceHash")}
    print_facts(facts, as_json=json)


@app.command("list")
@with_rest
def list_(
    rest: Rest,
    account: MaybeAccount = None,
    *,
    archived: Annotated[bool, typer.Option("--archived", help="Those that are archived.")] = False,
    json: Json = False,
) -> None:
    """List strategies, or with --account its live runs, the newest first."""
    fields: tuple[str, ...]
    if account is None:
        fields = ("strategyId", "name", "latestVersion", "updatedAt", "userId")
        found = list(rest.items("/strategies", archived=archived))
    else:
        fields = ("runId", "status", "reason", "symbol", "version", "beganAt", "ordersSent")
        found = list(rest.items(_runs(account)))
    if json:
        print_json(found)
        return
    table = Table(*fields)
    for one in found:
        table.add_row(*(_cell(one[field]) for field in fields))
    Console(soft_wrap=True).print(table)


@app.command()
@with_rest
def show(
    rest: Rest,
    known: Annotated[str, typer.Argument(metavar="STRATEGY|RUN", help="Name or identifier.")],
    account: MaybeAccount = None,
    version: Annotated[int | None, typer.Option(min=1, help="By default the latest.")] = None,
    *,
    source: Annotated[bool, typer.Option("--source", help="Print the source alone.")] = False,
    json: Json = False,
) -> None:
    """Show a strategy, or with --account one of its live runs."""
    if account is not None:
        run = rest.get(f"{_runs(account)}/{known}")
        print_facts(run if json else _brief(run), as_json=json)
        return
    query = {} if version is None else {"version": version}
    found = rest.get(f"/strategies/{_strategy_id(rest, known)}", **query)
    if source:
        sys.stdout.write(found["source"])
    elif json:
        print_json(found)
    else:
        facts = found.pop("facts")
        del found["source"]
        inputs = {one["name"]: one["default"] for one in facts["inputs"]}
        print_facts({**found, "inputs": inputs, "orders": facts["orders"]}, as_json=False)


@app.command()
@with_rest
def start(
    rest: Rest,
    strategy: Named,
    account: Account,
    symbol: Annotated[str, typer.Option(help="The symbol it is put on.")],
    version: Annotated[int | None, typer.Option(min=1, help="By default the latest.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Set an input.")
    ] = None,
    warm_up: Annotated[
        str | None, typer.Option(metavar="SPAN", help="Recorded ticks first: 90m, 12h, 3d.")
    ] = None,
    orders_per_minute: Annotated[int | None, typer.Option(min=1)] = None,
    open_orders: Annotated[int | None, typer.Option(min=1)] = None,
    *,
    keep_orders: Annotated[
        bool, typer.Option("--keep-orders", help="A kill leaves its orders working.")
    ] = False,
    json: Json = False,
) -> None:
    """Start a saved version on an account."""
    found = rest.get(f"/strategies/{_strategy_id(rest, strategy)}", **_if(version=version))
    limits = _if(ordersPerMinute=orders_per_minute, openOrders=open_orders)
    run = rest.send("POST", _runs(account), {
        "strategyId": found["strategyId"],
        "version": found["version"],
        "symbol": symbol,
        "inputs": _inputs(set_ or (), found["facts"]["inputs"]),
        "limits": limits,
        "warmUpSeconds": 0 if warm_up is None else _seconds(warm_up),
        "onKill": "keep_orders" if keep_orders else "cancel_orders",
    })  # fmt: skip
    print_facts(run if json else _brief(run), as_json=json)


@app.command()
@with_rest
def stop(
    rest: Rest,
    run: Annotated[str, typer.Argument(help="The run's identifier.")],
    account: Account,
    *,
    json: Json = False,
) -> None:
    """Have a run end with its `on stop`; what it gives then is still carried out."""
    _print_ended(rest.send("POST", f"{_runs(account)}/{run}/stop", {}), as_json=json)


@app.command()
@with_rest
def kill(
    rest: Rest,
    run: Annotated[
        str | None, typer.Argument(help="The run's identifier; all of the account without it.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="The account it runs on.")] = None,
    *,
    all_: Annotated[
        bool, typer.Option("--all", help="Every run of the tenant, whatever its account.")
    ] = False,
    json: Json = False,
) -> None:
    """End a run, an account's runs, or the tenant's, at once: no order is accepted any more."""
    if all_ == (account is not None):
        raise Refusal("expected --account, or --all for every run of the tenant.")
    if all_ and run is not None:
        raise Refusal("expected no run beside --all.")
    path = "/strategy-runs/kill" if account is None else f"{_runs(account)}/kill"
    if account is not None and run is not None:
        path = f"{_runs(account)}/{run}/kill"
    _print_ended(rest.send("POST", path, {}), as_json=json)


@app.command()
@with_rest
def logs(
    rest: Rest,
    run: Annotated[str, typer.Argument(help="The run's identifier.")],
    account: Account,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print what comes until the run has ended.")
    ] = False,
    json: Json = False,
) -> None:
    """Print the last lines of a run's log."""
    seen: list[dict[str, Any]] = []
    while True:
        found = rest.get(f"{_runs(account)}/{run}")
        new = _new_lines(seen, found["log"])
        _print_lines(new, as_json=json, whole=not follow)
        seen = found["log"]
        if not follow or found["status"] in ENDED:
            break
        time.sleep(FOLLOW_S)
    if follow and not json:
        sys.stderr.write(f"{found['status']}: {found['reason']}\n")


def _new_lines(
    seen: Sequence[Mapping[str, Any]], log: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    """Return what a log has gained: its beginning is the longest end of what was seen."""
    for known in range(min(len(seen), len(log)), 0, -1):
        if list(seen[-known:]) == list(log[:known]):
            return log[known:]
    return log


def _print_lines(lines: Sequence[Mapping[str, Any]], *, as_json: bool, whole: bool) -> None:
    if as_json and whole:
        print_json(lines)
        return
    for one in lines:
        if as_json:
            print_json(one)
        else:
            sys.stdout.write(f"{one['at']}  {one['kind']:<8}  {one['text']}\n")
    sys.stdout.flush()


def _print_ended(answer: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(answer["items"])
        return
    for run in answer["items"]:
        sys.stdout.write(f"{run['runId']}  {run['status']}\n")
    if not answer["items"]:
        sys.stdout.write("no run was live\n")


def _saved(answer: dict[str, Any] | Answered, name: str) -> dict[str, Any]:
    """Return a saved strategy, or print what the compiler found and refuse."""
    if not isinstance(answer, Answered):
        return answer
    for one in answer.problem.get("diagnostics", ()):
        sys.stderr.write(
            f"{name}:{one['line']}:{one['column']}: {one['severity']}: {one['message']}"
            f" {one['suggestion']}".rstrip()
            + "\n"
        )
    raise Refusal(answer.sentence())


def _strategy_id(rest: Rest, known: str) -> str:
    """Return the identifier of a strategy that is named by it or by its name."""
    try:
        return str(UUID(known))
    except ValueError:
        found = [one for one in rest.items("/strategies") if one["name"] == known]
    if len(found) != 1:
        count = len(found) or "no"
        raise Refusal(f"{count} strategies have the name {known}: see quantlab strategy list.")
    return str(found[0]["strategyId"])


def _inputs(settings: Sequence[str], inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Read NAME=VALUE by the types of a strategy's inputs; the server checks their bounds."""
    known = {one["name"]: one for one in inputs}
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in known:
            raise Refusal(f"--set {setting}: expected NAME=VALUE, NAME one of {', '.join(known)}.")
        found[name] = _value(str(known[name]["type"]), text, setting)
    return found


def _value(kind: str, text: str, setting: str) -> bool | int | float | str:
    if kind == "bool":
        if text not in ("true", "false"):
            raise Refusal(f"--set {setting}: expected true or false.")
        return text == "true"
    if kind not in ("int", "float"):
        return text
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError:
        raise Refusal(f"--set {setting}: expected a number of type {kind}.") from None


def _seconds(span: str) -> int:
    number, unit = span[:-1], span[-1:]
    if unit not in UNITS_S or not number.isdecimal():
        raise Refusal(f"--warm-up {span}: expected a number and one of {', '.join(UNITS_S)}.")
    return int(number) * UNITS_S[unit]


def _brief(run: Mapping[str, Any]) -> dict[str, Any]:
    return {name: run[name] for name in SHOWN if run.get(name) is not None}


def _if(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _runs(account: str) -> str:
    return f"/accounts/{account}/strategy-runs"


def _cell(value: object) -> str:
    return "" if value is None else str(value)
