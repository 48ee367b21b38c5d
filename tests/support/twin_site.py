"""People, accounts, bots and credentials for recorded requests, on both hosts of a world."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace

from quantlab.kernel.instants import SECOND_NS
from quantlab.market.quote import Quote
from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Actor, Scope
from quantlab_app.ports.backtests import Backtest
from quantlab_app.ports.identity import User
from quantlab_app.use_cases import api_keys, backtests, users
from quantlab_app.use_cases.accounts import open_account
from quantlab_app.use_cases.audit import append_pending
from quantlab_app.use_cases.execution import execute_pending
from quantlab_app.use_cases.identity_tokens import PasswordGrant, Tokens, grant_password
from quantlab_app.use_cases.strategies import Kept, create_strategy
from quantlab_app.use_cases.webhook_endpoints import NewSecret, create_endpoint
from tests.support.lambdas import Twins
from tests.support.world import ALPHA, BETA, Bot, World

PASSWORD = "correct horse battery"
SOURCE = 'on tick\n    x = bid\n    plot("bid", x)\n'
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Cast:
    """What the words of recorded events stand for."""

    words: Mapping[str, str]
    scope: Scope
    bot: Bot
    account_id: str


async def person(world: World, role: Role, tenant_id: str, email: str | None = None) -> User:
    made = await users.create_user(
        world.ports,
        world.scope(tenant_id),
        email=email or f"{role.value}-{next(_numbers)}@example.com",
        name="Somebody",
        role=role,
        password=PASSWORD,
    )
    assert isinstance(made, User)
    return made


async def token(world: World, user: User, tenant_id: str) -> str:
    grant = PasswordGrant(
        email=user.email, password=PASSWORD, tenant_id=tenant_id, host=None, totp_code=None,
        source=f"192.0.2.{next(_numbers) % 250}", browser=False, correlation_id="cast",
    )  # fmt: skip
    tokens = await grant_password(world.ports, grant)
    assert isinstance(tokens, Tokens)
    return tokens.access_token


async def api_key(world: World, scope: Scope) -> tuple[str, str]:
    """Return a key's id and its text."""
    made = await api_keys.create_api_key(
        world.ports, scope, name=f"key {next(_numbers)}", role=Role.RISK_MANAGER
    )
    assert isinstance(made, tuple)
    return made[0].api_key_id, made[1]


async def cast(world: World) -> Cast:
    """Make everybody that recorded requests speak of."""
    admin = await person(world, Role.TENANT_ADMIN, ALPHA)
    trader = await person(world, Role.TRADER, ALPHA)
    other = await person(world, Role.TRADER, ALPHA)
    foreign = await person(world, Role.TENANT_ADMIN, BETA)
    await person(world, Role.TRADER, ALPHA, "owner@example.com")
    account_id = await open_account(world.ports, world.scope(ALPHA), trader.user_id, "demo-100k")
    bot = await world.bot(ALPHA, account_id)
    other_bot = await world.bot(ALPHA, account_id)
    for symbol, bid, ask in (("EURUSD", "1.08123", "1.08125"), ("XAUUSD", "1290.1", "1290.4")):
        await world.quote(symbol, bid, ask)
    while await append_pending(world.ports, ALPHA):
        pass
    scope = Scope(ALPHA, Actor("user", admin.user_id, Role.TENANT_ADMIN), "cast")
    _, text = await api_key(world, scope)
    revoked_id, revoked = await api_key(world, scope)
    await api_keys.revoke_api_key(world.ports, scope, revoked_id)
    endpoint = await create_endpoint(world.ports, scope, "https://hooks.invalid/", "", ())
    assert isinstance(endpoint, NewSecret)
    mine = Scope(ALPHA, Actor("user", trader.user_id, Role.TRADER), "cast")
    strategy = await create_strategy(world.ports, mine, f"s{next(_numbers)}", SOURCE)
    assert isinstance(strategy, Kept)
    backtest = await cancelled_backtest(world, mine, strategy.strategy.strategy_id)
    words = {
        "token": await token(world, admin, ALPHA),
        "trader": await token(world, trader, ALPHA),
        "otherTrader": await token(world, other, ALPHA),
        "foreign": await token(world, foreign, BETA),
        "expired": await _expired(world, admin),
        "apiKey": text,
        "revokedKey": revoked,
        "account": account_id,
        "user": trader.user_id,
        "email": trader.email.replace("@", "%40"),
        "bot": bot.bot_id,
        "otherBot": other_bot.bot_id,
        "botToken": bot.token,
        "botSecret": bot.secret,
        "backtest": backtest,
        "strategy": strategy.strategy.strategy_id,
        "webhookEndpoint": endpoint.endpoint.endpoint_id,
        "large": "x" * 70_000,
    }
    return Cast(words, scope, bot, account_id)


async def cancelled_backtest(world: World, scope: Scope, strategy_id: str) -> str:
    """Record a tick, ask for a run over it and cancel it."""
    at_ns = 1_700_000_000 * SECOND_NS
    await world.ports.tick_log.append([Quote("EURUSD", 108_000, 108_002, at_ns, 1)])
    await world.ports.tick_log.close()
    wish = backtests.Wish(
        strategy_id=strategy_id, symbols=("EURUSD",), from_ns=at_ns, to_ns=at_ns + SECOND_NS
    )
    made = await backtests.submit(world.ports, scope, wish)
    assert isinstance(made, Backtest)
    await backtests.cancel_backtest(world.ports, scope, made.backtest_id)
    return made.backtest_id


async def _expired(world: World, user: User) -> str:
    """Sign a token as ours is signed, whose time has passed."""
    tokens = world.ports.access_tokens
    claims = await tokens.verify(await token(world, user, ALPHA), world.ports.clock.now_ns())
    assert claims is not None
    past_ns = world.ports.clock.now_ns() - 3600 * SECOND_NS
    return await tokens.issue(replace(claims, issued_ns=past_ns - SECOND_NS, expires_ns=past_ns))


@contextlib.asynccontextmanager
async def executing(world: World) -> AsyncIterator[None]:
    """Carry out commands while the block runs, as the queue's process does."""

    async def work() -> None:
        while True:
            for tenant_id in (ALPHA, BETA):
                await execute_pending(world.ports, [tenant_id])
            await asyncio.sleep(0.005)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.contextmanager
def executing_beside(made: Twins) -> Iterator[None]:
    """Run the executor on the world's own loop."""
    block = executing(made.world)
    made.do(block.__aenter__())
    try:
        yield
    finally:
        made.do(block.__aexit__(None, None, None))
