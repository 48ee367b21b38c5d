"""How commands reach the stores: by the environment, else by a state folder whose stores run."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from pydantic import ValidationError

from quantlab.kernel.instants import format_rfc3339
from quantlab.tenancy.scope import Scope, system_scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Fault, StoreUnavailable
from quantlab_edge.compose import OPERATING, build
from quantlab_edge.settings import Settings
from quantlab_server.cli.printing import refuse
from quantlab_server.refusal import Refusal
from quantlab_server.stores import urls_of

DATABASE_URL: Final = "QUANTLAB_DATABASE_URL"
State = Annotated[Path, typer.Option(envvar="STATE", help="State folder of a running group.")]
Result = TypeVar("Result")


def with_ports(state: Path, act: Callable[[Ports], Awaitable[Result]]) -> Result:
    """Connect, act, disconnect; a fault of the stores ends the command with one sentence."""
    with _one_sentence():
        return asyncio.run(_connected(_settings(state), act))


def operator(tenant_id: str) -> Scope:
    """Return the scope of whoever holds the state folder: no credential stands above it."""
    return system_scope(tenant_id, "command-line", "command-line")


async def every_tenant(ports: Ports, tenant_id: str | None) -> list[str]:
    """Return the tenant named, or every active one; BadParameter for one that does not exist."""
    known = list(await ports.tenants.active())
    if tenant_id is None:
        return known
    if tenant_id not in known:
        raise typer.BadParameter(f"--tenant: expected one of {', '.join(known) or 'no tenants'}.")
    return [tenant_id]


def moment(ts_ns: int | None) -> str | None:
    """Write an instant, None as None."""
    return None if ts_ns is None else format_rfc3339(ts_ns)


async def _connected(settings: Settings, act: Callable[[Ports], Awaitable[Result]]) -> Result:
    ports = await build(settings, OPERATING)
    try:
        return await act(ports)
    finally:
        await ports.close()


def _settings(state: Path) -> Settings:
    given: dict[str, Any] = {"state": state.absolute()}
    if not os.environ.get(DATABASE_URL):
        urls = urls_of(state)
        given |= {"database_url": urls.app_dsn, "redis_url": urls.redis_url}
    return Settings(**given)


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        refuse(str(refusal))
    except ValidationError as error:
        names = ", ".join(f"QUANTLAB_{fault['loc'][0]}".upper() for fault in error.errors())
        refuse(f"the settings are incomplete: {names}")
    except StoreUnavailable as fault:
        refuse(f"{fault}: the stores do not answer; are they running? (make up)")
    except Fault as fault:
        refuse(f"{fault}.")
