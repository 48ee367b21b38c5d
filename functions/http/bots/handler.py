"""Bots: who may send signals for which accounts, and their secrets, shown once."""

from ipaddress import ip_network
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends
from pydantic import AfterValidator, Field
from starlette.requests import Request
from starlette.responses import Response

from quantlab.kernel.instants import format_rfc3339
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.bots import Bot
from quantlab_app.use_cases.bots import (
    create_bot,
    list_bots,
    read_bot,
    rotate_secret,
    set_bot_status,
)
from quantlab_edge.http import ApiModel, principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.parameters import UuidText, Words
from quantlab_edge.requests import ports_of

ACCOUNTS_MAX = 100
NETWORKS_MAX = 100

router = new_router("bots", prefix="/tenants/{tenantId}/bots")

Reader = Annotated[Scope, Depends(principal(Permission.BOTS_READ))]
Manager = Annotated[Scope, Depends(principal(Permission.BOTS_MANAGE))]


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        raise ValueError("an address or a network in CIDR form without host bits") from None


Network = Annotated[str, AfterValidator(_network), Field(max_length=50)]


class NewBot(ApiModel):
    """A bot: accountId is where its signals go by default, accountIds what else it may trade.

    sourceAddresses limit where signals by token come from; none leave it to the tenant.
    """

    name: Words
    account_id: UuidText
    account_ids: tuple[UuidText, ...] = Field(default=(), max_length=ACCOUNTS_MAX)
    token_enabled: bool = True
    source_addresses: tuple[Network, ...] = Field(default=(), max_length=NETWORKS_MAX)


class BotChange(ApiModel):
    """Whether the bot's signals are taken."""

    status: Literal["active", "disabled"]


class Rotation(ApiModel):
    """Whether the address for senders without headers changes too; how long the old secret holds.

    That is the tenant's secretGraceSeconds, and never longer; 0 ends a secret that has leaked.
    """

    rotate_token: bool = False
    grace_seconds: int | None = Field(None, ge=0)


class BotOut(ApiModel):
    """A bot; its secret and token cannot be read again."""

    bot_id: str
    name: str
    status: Literal["active", "disabled"]
    account_id: str
    account_ids: list[str]
    token_enabled: bool
    source_addresses: list[str]
    created_at: str


class BotWithSecrets(ApiModel):
    """A new bot with what it needs to send signals, shown this once."""

    bot: BotOut
    secret: str
    token: str


class Rotated(ApiModel):
    """The new secret, shown this once; the old one holds for graceSeconds more."""

    bot_id: str
    secret: str
    token: str | None
    grace_seconds: int


class BotPage(ApiModel):
    """A page of bots."""

    items: list[BotOut]
    next_cursor: str | None


@router.get("")
async def get_bots(
    request: Request, scope: Reader, limit: Limit = 100, cursor: Cursor = None
) -> BotPage:
    """List bots by identifier; traders see those of their own accounts."""
    after = decode_cursor(cursor, UUID)
    rows = await list_bots(ports_of(request), scope, None if after is None else after[0], limit + 1)
    kept, following = page(rows, limit, lambda bot: (bot.bot_id,))
    return BotPage(items=[_bot(bot) for bot in kept], next_cursor=following)


@router.post("", status_code=201)
async def post_bot(
    request: Request, response: Response, scope: Manager, new: NewBot
) -> BotWithSecrets:
    """Make a bot; its accounts must be the tenant's, for a trader his own."""
    ports = ports_of(request)
    made = await create_bot(
        ports,
        scope,
        new.name,
        new.account_id,
        new.account_ids,
        token_enabled=new.token_enabled,
        source_addresses=new.source_addresses,
    )
    response.headers["cache-control"] = "no-store"
    response.headers["location"] = f"/tenants/{scope.tenant_id}/bots/{made.bot_id}"
    bot = await read_bot(ports, scope, made.bot_id)
    return BotWithSecrets(bot=_bot(bot), secret=made.secret, token=made.token)


@router.get("/{botId}")
async def get_bot(request: Request, scope: Reader, botId: str) -> BotOut:  # noqa: N803
    """Return one bot."""
    require_uuid(botId)
    return _bot(await read_bot(ports_of(request), scope, botId))


@router.patch("/{botId}")
async def patch_bot(
    request: Request,
    scope: Manager,
    botId: str,  # noqa: N803
    change: BotChange,
) -> BotOut:
    """Enable or disable a bot; its next signal meets the new status."""
    require_uuid(botId)
    return _bot(await set_bot_status(ports_of(request), scope, botId, change.status))


@router.post("/{botId}/rotate-secret")
async def post_rotation(
    request: Request,
    response: Response,
    scope: Manager,
    botId: str,  # noqa: N803
    rotation: Rotation | None = None,
) -> Rotated:
    """Give a bot a new secret, and a new token where asked; an old token ends at once."""
    require_uuid(botId)
    wish = rotation or Rotation()
    fresh = await rotate_secret(
        ports_of(request),
        scope,
        botId,
        rotate_token=wish.rotate_token,
        grace_s=wish.grace_seconds,
    )
    response.headers["cache-control"] = "no-store"
    return Rotated(
        bot_id=botId, secret=fresh.secret, token=fresh.token, grace_seconds=fresh.grace_s
    )


def _bot(bot: Bot) -> BotOut:
    return BotOut.model_validate(
        {
            "bot_id": bot.bot_id,
            "name": bot.name,
            "status": bot.status,
            "account_id": bot.account_id,
            "account_ids": list(bot.account_ids),
            "token_enabled": bot.token_enabled,
            "source_addresses": list(bot.source_addresses),
            "created_at": format_rfc3339(bot.created_at_ns),
        }
    )
