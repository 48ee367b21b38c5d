"""OAuth 2 token and revocation endpoints, and the JWK set."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Depends
from pydantic import ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.use_cases import identity_tokens
from quantlab_app.use_cases.identity_tokens import GrantRefusal, PasswordGrant, Refused, Tokens
from quantlab_edge import identity, observe
from quantlab_edge.http import PUBLIC, ApiModel, CredentialDep, principal
from quantlab_edge.http import router as new_router
from quantlab_edge.problems import ProblemError, correlation_id_of
from quantlab_edge.requests import ports_of, source_of

router = new_router("auth")

_TOKEN_FORM: Final[dict[str, Any]] = {
    **PUBLIC,
    "requestBody": identity.form_schema(
        required=("grant_type",),
        fields={
            "grant_type": "`password` or `refresh_token`.",
            "username": "E-mail address (password grant).",
            "password": "Password (password grant).",
            "tenant_id": "Tenant, where neither the host nor the e-mail alone says which.",
            "totp_code": "One-time code, where the user has a second factor.",
            "refresh_token": "Refresh token (refresh grant); browsers send the cookie instead.",
            "client": "`browser` keeps the refresh token in a cookie; as the header X-Client.",
        },
    ),
}
_REVOKE_FORM: Final[dict[str, Any]] = {
    **PUBLIC,
    "requestBody": identity.form_schema(
        required=(), fields={"token": "Refresh or access token; browsers send the cookie instead."}
    ),
}


class TokenAnswer(ApiModel):
    """RFC 6749, 5.1; refresh_token is absent for browsers, who keep it in a cookie."""

    model_config = ConfigDict(alias_generator=None)

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str | None = None
    csrf_token: str | None = None
    tenantId: str  # noqa: N815 - the public name
    role: str


class TenantChoice(ApiModel):
    """The tenant a platform administrator acts in next."""

    tenant_id: str


@router.post("/oauth2/token", openapi_extra=_TOKEN_FORM, response_model=TokenAnswer)
async def issue_token(request: Request) -> Response:
    """Issue tokens for a password or a refresh token."""
    form = await identity.read_form(request)
    grant_type = form.get("grant_type")
    if grant_type == "password":
        result = await _password_grant(request, form)
    elif grant_type == "refresh_token":
        token = form.get("refresh_token") or identity.cookie_token(request)
        if not token:
            raise ProblemError("invalid_request", "Expected a refresh_token or its cookie.")
        result = await identity_tokens.grant_refresh(
            ports_of(request), token, correlation_id_of(request)
        )
    else:
        raise identity.oauth_problem(
            "unsupported_grant_type", "Expected grant_type password or refresh_token."
        )
    observe.logins.labels(result.reason if isinstance(result, Refused) else "granted").inc()
    if isinstance(result, Refused):
        raise _refused(result)
    return _answer(request, result)


@router.post(
    "/oauth2/revoke",
    openapi_extra=_REVOKE_FORM,
    status_code=200,
    response_model=None,
    response_class=Response,
)
async def revoke_token(request: Request) -> Response:
    """End a session by one of its tokens; a token nobody knows answers the same (RFC 7009)."""
    form = await identity.read_form(request)
    token = form.get("token") or identity.cookie_token(request)
    if not token:
        raise ProblemError("invalid_request", "Expected a token or the refresh cookie.")
    await identity_tokens.revoke_token(ports_of(request), token, correlation_id_of(request))
    response = Response(status_code=200, headers={"cache-control": "no-store"})
    identity.clear_cookies(response)
    return response


@router.post("/oauth2/tenant-tokens", response_model=TokenAnswer)
async def issue_tenant_token(
    request: Request,
    choice: TenantChoice,
    credential: CredentialDep,
    _scope: Annotated[Scope, Depends(principal(Permission.TENANTS_MANAGE))],
) -> Response:
    """Give a platform administrator an access token that acts in one other tenant."""
    tokens = await identity_tokens.switch_tenant(ports_of(request), credential, choice.tenant_id)
    if tokens is None:
        raise ProblemError("forbidden", "Only a signed-in platform administrator may do this.")
    return _answer(request, tokens)


@router.get("/.well-known/jwks.json", openapi_extra=PUBLIC)
async def jwks(request: Request) -> dict[str, list[dict[str, str]]]:
    """Return the public keys that verify access tokens (RFC 7517)."""
    found = await ports_of(request).access_tokens.jwks()
    return {"keys": [dict(key) for key in found["keys"]]}


async def _password_grant(request: Request, form: Mapping[str, str]) -> Tokens | Refused:
    if not form.get("username") or not form.get("password"):
        raise identity.oauth_problem("invalid_request", "Expected username and password.")
    grant = PasswordGrant(
        email=form["username"],
        password=form["password"],
        tenant_id=form.get("tenant_id") or None,
        host=identity.host_of(request),
        totp_code=form.get("totp_code") or None,
        source=source_of(request),
        browser=identity.is_browser(request, form),
        correlation_id=correlation_id_of(request),
    )
    return await identity_tokens.grant_password(ports_of(request), grant)


def _refused(refused: Refused) -> ProblemError:
    if refused.reason is GrantRefusal.RATE_LIMITED:
        detail = "Too many attempts for this login or from this address."
        return ProblemError("rate_limited", detail, (), refused.retry_after_s)
    if refused.reason is GrantRefusal.TOTP_REQUIRED:
        return identity.oauth_problem("totp_required", "Send totp_code with the password.")
    return identity.oauth_problem("invalid_grant", "The credentials or the token do not hold.")


def _answer(request: Request, tokens: Tokens) -> Response:
    body: dict[str, str | int] = {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in_s,
        "tenantId": tokens.tenant_id,
        "role": tokens.session.role,
    }
    in_cookie = tokens.session.browser and bool(tokens.refresh_token)
    if in_cookie:
        body["csrf_token"] = identity.csrf_token_of(tokens.refresh_token)
    elif tokens.refresh_token:
        body["refresh_token"] = tokens.refresh_token
    response = JSONResponse(body, headers={"cache-control": "no-store"})
    if in_cookie:
        identity.set_cookies(response, tokens.refresh_token, ports_of(request).identity_policy)
    return response
