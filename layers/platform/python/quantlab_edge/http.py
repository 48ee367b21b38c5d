"""What HTTP functions stand on: scopes, exact numbers, and the one model base.

It must not know any resource.
"""

import json
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal, NoReturn, cast

from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router

from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.sessions import Credential
from quantlab_app.use_cases import identity
from quantlab_edge.gateway import read_context
from quantlab_edge.problems import ProblemError, correlation_id_of
from quantlab_edge.raw import RawEndpoint, RawRoute
from quantlab_edge.requests import ports_of

PUBLIC: Final[dict[str, Any]] = {"security": []}
NUMBER_CHARS_MAX: Final = 60
_NO_CREDENTIAL: Final = "Expected an access token that stands, or an API key that stands."
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")

_bearer = HTTPBearer(
    auto_error=False, bearerFormat="JWT", scheme_name="bearer", description="An access token."
)
_api_key = APIKeyHeader(
    name="X-Api-Key", auto_error=False, scheme_name="apiKey", description="An API key."
)


class ApiModel(BaseModel):
    """camelCase in and out; unknown fields refused; frozen."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=False,
        ser_json_inf_nan="null",
    )


class ExactRequest(Request):
    """A request whose JSON numbers are Decimal, never float."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = loads_exact(await self.body())
        return self._json


class ExactRoute(APIRoute):
    """A route whose body is read by ExactRequest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def exact(request: Request) -> Response:
            return await handler(ExactRequest(request.scope, request.receive))

        return exact


class LongRoute(ExactRoute):
    """A route whose bodies hold a source text, which is longer than other bodies may be."""

    body_bytes_max = 2_097_152


def described(raw: Router, bodies: Mapping[RawEndpoint, type[ApiModel]], **alike: Any) -> APIRouter:
    """Say of raw routes for OpenAPI what each takes, by its endpoint, and what is alike of all."""
    api = APIRouter()
    for route in cast(list[RawRoute], raw.routes):
        schema = bodies[route.endpoint].model_json_schema(by_alias=True)
        body = {"required": True, "content": {"application/json": {"schema": schema}}}
        extra = {**PUBLIC, "requestBody": body}
        methods = sorted(route.methods or ())
        api.add_api_route(route.path, route.endpoint, methods=methods, openapi_extra=extra, **alike)
    return api


def router(*tags: str, prefix: str = "", route_class: type[ExactRoute] = ExactRoute) -> APIRouter:
    """Make the router of an HTTP function: exact numbers, one OpenAPI tag."""
    return APIRouter(prefix=prefix, tags=list(tags), route_class=route_class)


def loads_exact(raw: bytes) -> Any:
    """Read JSON with Decimal numbers; JSONDecodeError for anything we could not keep."""
    try:
        value = json.loads(
            raw,
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
        if b"\\u" in raw:
            _refuse_unstorable(value)
    except UnicodeDecodeError as error:
        raise json.JSONDecodeError("expected UTF-8", "", error.start) from None
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", "", 0) from None
    return value


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text) if len(text) <= NUMBER_CHARS_MAX else None
    except InvalidOperation:  # an exponent beyond any Decimal
        number = None
    if number is None or abs(number.adjusted()) > NUMBER_CHARS_MAX:
        raise json.JSONDecodeError("a number is too long", "", 0)
    return number


def _integer(text: str) -> int:
    if len(text) > NUMBER_CHARS_MAX:
        raise json.JSONDecodeError("a number is too long", "", 0)
    return int(text)


def _refuse_unstorable(value: Any) -> None:
    """Refuse what only an escape can bring in: NUL, and halves of surrogate pairs."""
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise json.JSONDecodeError("a text has a character that is none", "", 0)
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_unstorable(key)
            _refuse_unstorable(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_unstorable(item)


def _refuse_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is no JSON number", "", 0)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise json.JSONDecodeError("an object names a field twice", "", 0)
    return value


@dataclass(frozen=True, slots=True)
class Sent:
    """The credentials of a request, as they came."""

    scheme: Literal["bearer", "api_key", "both"]
    text: str = field(repr=False)


async def credentials_of(request: Request) -> Sent | None:
    """Read what a request brings to prove who is asking."""
    return _sent(await _bearer(request), await _api_key(request))


def _sent(bearer: HTTPAuthorizationCredentials | None, api_key: str | None) -> Sent | None:
    if bearer is not None:
        both = api_key is not None
        return Sent("both", "") if both else Sent("bearer", bearer.credentials)
    return None if api_key is None else Sent("api_key", api_key)


async def prove(ports: Ports, sent: Sent | None, correlation_id: str) -> Credential:
    """Hold credentials against what stands; the problem `unauthorized` when they do not."""
    found: Credential | None = None
    if sent is None:
        raise ProblemError("unauthorized", _NO_CREDENTIAL)
    if sent.scheme == "both":
        raise ProblemError("unauthorized", "Send either a bearer token or X-Api-Key, not both.")
    if sent.scheme == "bearer":
        found = await identity.authenticate_token(ports, sent.text, correlation_id)
    else:
        found = await identity.authenticate_api_key(ports, sent.text, correlation_id)
    if found is None:
        raise ProblemError("unauthorized", _NO_CREDENTIAL)
    return found


async def credential(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
    api_key: Annotated[str | None, Depends(_api_key)] = None,
) -> Credential:
    """Authenticate the request and hold it to the tenant in its path.

    Behind a gateway its authorizer has looked at the credentials, and only what it says counts.
    """
    correlation_id = correlation_id_of(request)
    if behind_gateway(request):
        told = read_context(_gateway_context(request), correlation_id)
        if told is None:
            raise ProblemError("unauthorized", _NO_CREDENTIAL)
        found = told
    else:
        found = await prove(ports_of(request), _sent(bearer, api_key), correlation_id)
    actor = found.scope.actor
    request.state.log = {"tenant": found.scope.tenant_id, "actor": f"{actor.kind}:{actor.id}"}
    tenant_id = request.path_params.get("tenantId")
    if tenant_id is not None and tenant_id != found.scope.tenant_id:
        raise ProblemError("not_found", "No such object.")
    return found


def behind_gateway(request: Request) -> bool:
    """Say whether this application stands behind a gateway, as its maker has told it."""
    return bool(getattr(request.app.state, "behind_gateway", False))


def _gateway_context(request: Request) -> Mapping[str, Any] | None:
    event = request.scope.get("aws.event", {})
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    return cast(Mapping[str, Any] | None, authorizer.get("lambda"))


CredentialDep = Annotated[Credential, Depends(credential)]


def principal(permission: Permission) -> Callable[[Credential], Awaitable[Scope]]:
    """Make the dependency that returns the request's Scope if it holds the permission."""

    async def scope_of(proven: CredentialDep) -> Scope:
        if not proven.scope.may(permission):
            raise ProblemError("forbidden", f"This needs the permission {permission}.")
        return proven.scope

    return scope_of


async def require_account(ports: Ports, scope: Scope, account_id: str) -> None:
    """Answer 404 unless the account exists in the tenant and the actor may see it."""
    require_uuid(account_id)
    owner_id = await ports.account_owners.owner_of(scope, account_id)
    if scope.owns_only and (scope.actor.kind != "user" or owner_id != scope.actor.id):
        raise ProblemError("not_found", "No such object.")


def require_uuid(value: str) -> None:
    """Answer 404 for an identifier in the path that cannot name anything."""
    if not _UUID.match(value):
        raise ProblemError("not_found", "No such object.")
