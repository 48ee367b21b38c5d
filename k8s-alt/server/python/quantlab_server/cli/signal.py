"""`quantlab signal`: send one as a bot does, and count the attempts nobody could be held to."""

import base64
import hmac
import json as jsons
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer
from rich.console import Console
from rich.table import Table

from quantlab.webhooks.signature import sign, standard_key
from quantlab_app.ports.container import Ports
from quantlab_server import demo_file as demos
from quantlab_server.cli.connecting import State, moment, with_ports
from quantlab_server.cli.printing import Json, print_json
from quantlab_server.private_files import read_json_object
from quantlab_server.refusal import Refusal

DEFAULT_URL: Final = "http://127.0.0.1:8080"
PATH: Final = "/webhooks/signals"
REQUEST_S: Final = 60.0  # a cold function of a cloud takes its time
HOUR_NS: Final = 3_600_000_000_000

app = typer.Typer(no_args_is_help=True, help="Send a signal, count unauthenticated attempts.")


@dataclass(frozen=True, slots=True)
class Sender:
    """The bot a signal is sent as."""

    url: str
    bot_id: str
    secret: str = field(repr=False)
    token: str | None = field(repr=False)
    symbol: str | None


@app.command()
def send(
    state: State = Path(".state"),
    url: Annotated[str | None, typer.Option(help="Server; by default the demo's.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Demo tenant; by default the first.")] = None,
    bot: Annotated[
        str | None, typer.Option(help="Bot; by default the demo tenant's first.")
    ] = None,
    secret: Annotated[str | None, typer.Option(envvar="QUANTLAB_BOT_SECRET")] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="QUANTLAB_BOT_TOKEN", help="Send to this address, secret in the body."),
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="By default the demo bot's.")] = None,
    action: Annotated[str, typer.Option(help="buy, sell, close, flat, reverse ...")] = "buy",
    quantity: Annotated[str | None, typer.Option(help="Lots, contracts or coins.")] = None,
    risk_percent: Annotated[str | None, typer.Option(help="Instead of --quantity.")] = None,
    stop_loss: str | None = None,
    take_profit: str | None = None,
    account: Annotated[str | None, typer.Option(help="By default the bot's own.")] = None,
    signal_id: Annotated[str | None, typer.Option("--id", help="Idempotency key.")] = None,
    body: Annotated[str | None, typer.Option(help="The whole body, instead of fields.")] = None,
    *,
    standard: Annotated[
        bool, typer.Option("--standard", help="Standard Webhooks headers, not X-Signature.")
    ] = False,
    by_token: Annotated[
        bool, typer.Option("--by-token", help="Like --token, with the demo bot's token.")
    ] = False,
    json: Json = False,
) -> None:
    """Sign and post one signal; exit code 1 when it is refused."""
    sender = _sender(state, url=url, tenant=tenant, bot=bot, secret=secret, token=token)
    tokened = by_token or token is not None
    if tokened and (standard or sender.token is None):
        raise typer.BadParameter("expected --by-token with a known token, without --standard.")
    fields = {
        "id": signal_id or f"cli-{time.time_ns()}",  # noqa: TID251 - a sender has its own clock
        "symbol": symbol or (None if action == "flat" else sender.symbol),
        "action": action,
        "quantity": quantity,
        "riskPercent": risk_percent,
        "stopLoss": stop_loss,
        "takeProfit": take_profit,
        "accountId": account,
    }
    document = _document(body, fields)
    answer = _post(sender, document, standard=standard, tokened=tokened)
    _print(answer, as_json=json)
    if answer.is_error:
        raise typer.Exit(1)


@app.command()
def attempts(
    state: State = Path(".state"),
    hours: Annotated[int, typer.Option(min=1, max=24 * 90, help="How far back.")] = 24,
    *,
    json: Json = False,
) -> None:
    """Count attempts that were not authenticated, per minute, source and reason."""

    async def act(ports: Ports) -> list[dict[str, Any]]:
        since_ns = ports.clock.now_ns() - hours * HOUR_NS
        return [
            {
                "minute": moment(count.minute_ns),
                "source": count.source,
                "reason": count.reason,
                "attempts": count.attempts,
            }
            for count in await ports.unauthenticated.since(since_ns)
        ]

    counts = with_ports(state, act)
    total = sum(count["attempts"] for count in counts)
    if json:
        print_json({"total": total, "counts": counts})
        return
    table = Table("Minute", "Source", "Reason", "Attempts")
    for count in counts:
        table.add_row(*(str(value) for value in count.values()))
    table.add_section()
    table.add_row("", "", "all", str(total))
    Console(soft_wrap=True).print(table)


def _sender(
    state: Path,
    *,
    url: str | None,
    tenant: str | None,
    bot: str | None,
    secret: str | None,
    token: str | None,
) -> Sender:
    """Take the bot from the options, what they leave out from the demo's credentials."""
    if secret is not None and (bot is not None or token is not None):
        return Sender(url or DEFAULT_URL, bot or "", secret, token, None)
    path = state / demos.FILE
    if not path.exists():
        raise Refusal(f"expected --bot and --secret, or the demo's credentials in {path}.")
    document = read_json_object(path)
    for known in document["tenants"]:
        for one in known["bots"]:
            if tenant in (None, known["tenantId"]) and bot in (None, one["botId"]):
                return Sender(
                    url or document["url"] or DEFAULT_URL,
                    one["botId"],
                    secret or one["secret"],
                    token or one["token"],
                    one["symbol"],
                )
    raise Refusal(f"{path} holds no bot {bot or ''} of {tenant or 'any tenant'}.")


def _document(body: str | None, fields: dict[str, Any]) -> dict[str, Any]:
    if body is None:
        return {key: value for key, value in fields.items() if value is not None}
    try:
        document = jsons.loads(body)
    except ValueError as error:
        raise Refusal(f"--body: expected JSON: {error}.") from error
    if not isinstance(document, dict):
        raise Refusal("--body: expected a JSON object.")
    return document


def _post(
    sender: Sender, document: dict[str, Any], *, standard: bool, tokened: bool
) -> httpx.Response:
    target, headers = f"{sender.url}{PATH}", {"Content-Type": "application/json"}
    if tokened:
        target = f"{target}/{sender.token}"
        document = {**document, "secret": sender.secret}
    raw = jsons.dumps(document).encode()
    if not tokened:
        message_id = str(document.get("id") or "") if standard else None
        headers |= {"X-Bot-Id": sender.bot_id, **_signature(sender.secret, raw, message_id)}
    try:
        return httpx.post(target, content=raw, headers=headers, timeout=REQUEST_S)
    except httpx.HTTPError as error:
        raise Refusal(f"{sender.url} does not answer ({error}); is it running?") from error


def _signature(secret: str, raw: bytes, message_id: str | None) -> dict[str, str]:
    """Return X-Signature, or the Standard Webhooks headers when the message has an identifier."""
    now_s = int(time.time())  # noqa: TID251 - a sender has its own clock
    if message_id is None:
        return {"X-Signature": sign(secret, now_s, raw)}
    key = standard_key(secret)
    if not key or not message_id:
        raise Refusal("--standard: expected a secret of the form whsec_<base64> and an id.")
    signed = hmac.digest(key, f"{message_id}.{now_s}.".encode() + raw, "sha256")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def _print(answer: httpx.Response, *, as_json: bool) -> None:
    try:
        document = answer.json()
    except ValueError:
        document = {"text": answer.text}
    if as_json:
        print_json({"httpStatus": answer.status_code, **document})
        return
    line = " ".join(f"{key}={value}" for key, value in document.items())
    sys.stdout.write(f"{answer.status_code} {line}\n")
