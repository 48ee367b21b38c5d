"""What STATE/demo.json holds and how it is shown; whoever only reads it loads no adapters."""

import json
import os
from pathlib import Path
from typing import Any, Final

from quantlab_server.private_files import write_private
from quantlab_server.refusal import Refusal

FILE: Final = "demo.json"
CONFIGS: Final = "agent/configs"
CURL: Final = (
    'T=$(date +%s); B=\'{{"id":"curl-\'$T\'","symbol":"{symbol}","action":"buy",'
    '"quantity":"{quantity}"}}\'; curl -sS -X POST {url}/webhooks/signals'
    " -H 'Content-Type: application/json' -H 'X-Bot-Id: {botId}'"
    " -H \"X-Signature: t=$T,v1=$(python3 -c 'import hmac,sys;"
    'print(hmac.new(*map(str.encode,sys.argv[1:]),"sha256").hexdigest())\''
    ' \'{secret}\' "$T.$B")" -d "$B"'
)


def kept(path: Path) -> dict[str, Any]:
    """Return the credentials of earlier starts; none the first time."""
    if not path.exists():
        return {"url": "", "wsUrl": "", "symbols": [], "tenants": []}
    try:
        document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise Refusal(f"{path} is not the JSON that was written: {error}") from error
    return document


def config_folder() -> Path:
    """Name the folder of configurations that the roles are given too."""
    return Path(os.environ.get("QUANTLAB_CONFIGS", CONFIGS))


def addressed(
    document: dict[str, Any], state: Path, url: str, ws_url: str | None = None
) -> dict[str, Any]:
    """Write the addresses of this run into STATE/demo.json and return the document."""
    document = {**document, "url": url, "wsUrl": ws_url or ws_url_of(url)}
    document["curl"] = pasted_curl(document)
    write_private(state / FILE, json.dumps(document, indent=2))
    return document


def ws_url_of(url: str) -> str:
    """Return where a server of our own takes sockets."""
    return url.replace("http", "ws", 1) + "/ws"


def pasted_curl(document: dict[str, Any]) -> str:
    """Return a shell line that signs and posts a signal of the first bot."""
    bot = document["tenants"][0]["bots"][0]
    return CURL.format(url=document["url"], quantity="0.10", **bot)


def block(document: dict[str, Any], *options: str) -> str:
    """Return what `make up` shows: address, logins, keys, a curl and how to watch with options."""
    lines = ["", f"QuantLabEngine is ready: {document['url']}", f"WebSocket: {document['wsUrl']}"]
    for tenant in document["tenants"]:
        lines += ["", f"Tenant {tenant['tenantId']}    X-Api-Key: {tenant['apiKey']}"]
        lines += [
            f"  {user['role']:<13} {user['email']:<38} password {user['password']}"
            for user in tenant["users"]
        ]
        lines += [
            f"  bot {bot['botId']}  {bot['symbol']:<7} account {bot['accountId']}\n"
            f"      secret {bot['secret']}\n      token  {bot['token']}"
            for bot in tenant["bots"]
        ]
    bot = document["tenants"][0]["bots"][0]
    lines += [
        "",
        "Send a signed signal:",
        "",
        document["curl"],
        "",
        "Watch its events (in another shell):",
    ]
    watch = " ".join(("quantlab watch", *options, "--account", bot["accountId"]))
    lines += ["", f".venv/bin/{watch}", ""]
    return "\n".join(lines)
