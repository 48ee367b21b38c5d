"""`quantlab watch`: an account's events as they happen, without gaps."""

import asyncio
import contextlib
import json as jsons
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import httpx
import typer
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from quantlab_server import demo_file as demos
from quantlab_server.cli.printing import Json
from quantlab_server.cli.stages import STARTERS, Stage, StageOption, StateOption, state_of
from quantlab_server.private_files import read_json_object
from quantlab_server.refusal import Refusal

DEFAULT_URL: Final = "http://127.0.0.1:8080"
REQUEST_S: Final = 60.0  # a cold function of a cloud takes its time
RETRY_S_MAX: Final = 5.0
PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Login:
    """Where to connect and what proves who we are: an API key, or e-mail and password."""

    url: str
    tenant_id: str
    api_key: str | None = field(default=None, repr=False)
    email: str | None = None
    password: str | None = field(default=None, repr=False)
    ws_url: str | None = None

    @property
    def socket_url(self) -> str:
        return self.ws_url or demos.ws_url_of(self.url)


def watch(
    account: Annotated[str, typer.Option(help="Account whose events to print.")],
    state: StateOption = None,
    stage: StageOption = Stage.LOCAL,
    url: Annotated[str | None, typer.Option(help="Server; by default the demo's.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant, with --api-key or --email.")] = None,
    api_key: Annotated[str | None, typer.Option(envvar="QUANTLAB_API_KEY")] = None,
    email: Annotated[str | None, typer.Option(help="Instead of --api-key.")] = None,
    password: Annotated[str | None, typer.Option(envvar="QUANTLAB_PASSWORD")] = None,
    after_seq: Annotated[
        int | None, typer.Option(min=0, help="Begin after this event; by default now.")
    ] = None,
    count: Annotated[int, typer.Option(min=0, help="End after so many events.")] = 0,
    *,
    json: Json = False,
) -> None:
    """Print an account's events as they happen; Ctrl-C ends it."""
    if api_key or email:
        if tenant is None:
            raise typer.BadParameter("expected --tenant beside --api-key or --email.")
        login = Login(url or DEFAULT_URL, tenant, api_key, email, password)
    else:
        login = _demo_login(stage, state, account, url)
    watcher = Watcher(login, account, after_seq, count, _print_json if json else _print_line)
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(watcher.run())


def _demo_login(stage: Stage, state: Path | None, account_id: str, url: str | None) -> Login:
    """Find the login of the user who owns a demo account."""
    path = state_of(stage, state) / demos.FILE
    if not path.exists():
        raise Refusal(
            f"{path} is missing: run {STARTERS[stage]} first, or name --state, or --tenant and"
            " --api-key."
        )
    document = read_json_object(path)
    for tenant in document["tenants"]:
        users = {user["userId"]: user for user in tenant["users"]}
        for account in tenant["accounts"]:
            if account["accountId"] == account_id:
                owner = users[account["userId"]]
                return Login(
                    url or document["url"],
                    tenant["tenantId"],
                    email=owner["email"],
                    password=owner["password"],
                    ws_url=document["wsUrl"] if url is None else None,
                )
    raise Refusal(f"account {account_id} is none of the demo's in {path}: see quantlab demo.")


class Watcher:
    """Follow one account over reconnections, filling what was missed."""

    def __init__(
        self,
        login: Login,
        account_id: str,
        after_seq: int | None,
        count: int,
        show: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._login = login
        self._account_id = account_id
        self._channel = f"account:{account_id}"
        self._seq = after_seq
        self._left = count or None
        self._show = show
        self._connected = False

    async def run(self) -> None:
        """Print events until the wanted number is reached, or for ever."""
        wait_s = 0.1
        async with httpx.AsyncClient(base_url=self._login.url, timeout=REQUEST_S) as http:
            while self._left != 0:
                try:
                    await self._follow(http)
                    wait_s = 0.1
                except (httpx.TransportError, InvalidHandshake, OSError) as error:
                    if not self._connected:
                        raise Refusal(
                            f"{self._login.url} does not answer ({error}): is the server up?"
                        ) from None
                    await asyncio.sleep(wait_s)
                    wait_s = min(wait_s * 2, RETRY_S_MAX)

    async def _follow(self, http: httpx.AsyncClient) -> None:
        headers = await self._headers(http)
        answer = _checked(await http.post("/socket-tickets", headers=headers))
        address = f"{self._login.socket_url}?ticket={quote(answer['ticket'])}"
        async with connect(address, compression=None) as socket:
            self._connected = True
            after = {} if self._seq is None else {self._channel: self._seq}
            request = {"action": "subscribe", "channels": [self._channel], "afterSeq": after}
            await socket.send(jsons.dumps(request))
            # The server ends a socket with its token: the next one goes on where this one ended.
            with contextlib.suppress(ConnectionClosed):
                await self._read(socket, http, headers)

    async def _read(
        self, socket: ClientConnection, http: httpx.AsyncClient, headers: Mapping[str, str]
    ) -> None:
        while self._left != 0:
            message = jsons.loads(await socket.recv())
            match message["type"]:
                case "event":
                    self._take(message)
                case "subscribed":
                    if self._seq is None:
                        self._seq = message["seq"][self._channel]
                    sys.stderr.write(f"watching {self._account_id} after event {self._seq}\n")
                case "resync":
                    await self._fetch(http, headers, message["fromSeq"] - 1)
                case "error":
                    raise Refusal(f"{self._channel}: {message['code']}: {message['detail']}")

    async def _fetch(
        self, http: httpx.AsyncClient, headers: Mapping[str, str], after_seq: int
    ) -> None:
        path = f"/tenants/{self._login.tenant_id}/accounts/{self._account_id}/events"
        query: dict[str, Any] | None = {"afterSeq": after_seq, "limit": PAGE}
        self._seq = after_seq
        while query is not None and self._left != 0:
            page = _checked(await http.get(path, params=query, headers=headers))
            for item in page["items"]:
                seq = item.pop("seq")
                self._take({"type": "event", "channel": self._channel, "seq": seq, "event": item})
            cursor = page["nextCursor"]
            query = {"cursor": cursor, "limit": PAGE} if cursor else None

    def _take(self, message: Mapping[str, Any]) -> None:
        if self._left == 0 or (self._seq is not None and message["seq"] <= self._seq):
            return
        self._seq = message["seq"]
        self._show(message)
        if self._left is not None:
            self._left -= 1

    async def _headers(self, http: httpx.AsyncClient) -> dict[str, str]:
        if self._login.api_key is not None:
            return {"X-Api-Key": self._login.api_key}
        form = {
            "grant_type": "password",
            "username": self._login.email,
            "password": self._login.password,
            "tenant_id": self._login.tenant_id,
        }
        answer = _checked(await http.post("/oauth2/token", data=form))
        return {"Authorization": f"Bearer {answer['access_token']}"}


def _checked(response: httpx.Response) -> dict[str, Any]:
    if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise httpx.ReadError(f"{response.request.url.path} answered {response.status_code}")
    document: dict[str, Any] = response.json()
    if response.is_error:
        detail = document.get("detail") or document.get("title") or response.status_code
        raise Refusal(f"{response.request.url.path}: {response.status_code}: {detail}")
    return document


def _print_json(message: Mapping[str, Any]) -> None:
    sys.stdout.write(jsons.dumps(message, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _print_line(message: Mapping[str, Any]) -> None:
    event = message["event"]
    payload = jsons.dumps(event["payload"], separators=(", ", ": "), ensure_ascii=False)
    sys.stdout.write(
        f"{event['timestamp']}  {message['seq']:>6}  {event['eventType']:<26}  {payload}\n"
    )
    sys.stdout.flush()
