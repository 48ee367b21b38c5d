"""Forms, cookies and the cross-site check of the token endpoints.

It must not decide whether a credential holds: that is quantlab_app.use_cases.identity.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from quantlab_app.ports.identity import IdentityPolicy
from quantlab_edge.problems import ProblemError

FORM: Final = "application/x-www-form-urlencoded"
FIELDS_MAX: Final = 20
REFRESH_COOKIE: Final = "ql_refresh"
CSRF_COOKIE: Final = "ql_csrf"
CSRF_HEADER: Final = "X-CSRF-Token"
COOKIE_PATH: Final = "/oauth2"


async def read_form(request: Request) -> dict[str, str]:
    """Read an OAuth form: URL-encoded, each field once."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != FORM:
        raise ProblemError(
            "unsupported_media_type", f"Expected {FORM}, got {media_type or 'none'}."
        )
    try:
        text = (await request.body()).decode("utf-8")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError:
        raise oauth_problem("invalid_request", "The form cannot be read.") from None
    form = dict(pairs)
    if "\0" in text or "%00" in text:
        raise oauth_problem("invalid_request", "Expected text without NUL.")
    if len(form) != len(pairs):
        raise oauth_problem("invalid_request", "Expected each form field once.")
    return form


def form_schema(*, required: Sequence[str], fields: Mapping[str, str]) -> dict[str, Any]:
    """Describe a form for OpenAPI."""
    properties = {
        name: {"type": "string", "description": description} for name, description in fields.items()
    }
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    return {"required": True, "content": {FORM: {"schema": schema}}}


def oauth_problem(slug: str, detail: str) -> ProblemError:
    """Make a problem document that also carries the OAuth 2 error code."""
    code = "invalid_grant" if slug == "totp_required" else slug
    return ProblemError(slug, detail, extra={"error": code})


def is_browser(request: Request, form: Mapping[str, str]) -> bool:
    """Say whether the refresh token belongs into a cookie."""
    return "browser" in (request.headers.get("x-client"), form.get("client"))


def host_of(request: Request) -> str | None:
    """Return the host name a request was sent to, without its port."""
    host = request.headers.get("host", "").lower()
    name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    return name or None


def csrf_token_of(refresh_token: str) -> str:
    """Derive the token that proves a page of ours sent the cookie: nobody else can compute it."""
    digest = hashlib.sha256(b"csrf\x00" + refresh_token.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def cookie_token(request: Request) -> str | None:
    """Return the refresh token of the cookie, after the cross-site check."""
    token = request.cookies.get(REFRESH_COOKIE)
    if not token:
        return None
    expected = csrf_token_of(token).encode()
    sent = (request.headers.get(CSRF_HEADER, ""), request.cookies.get(CSRF_COOKIE, ""))
    if not all(hmac.compare_digest(expected, text.encode()) for text in sent):
        raise ProblemError(
            "csrf_failed", f"Expected {CSRF_HEADER} to repeat the {CSRF_COOKIE} cookie."
        )
    return token


def set_cookies(response: Response, refresh_token: str, policy: IdentityPolicy) -> None:
    """Give a browser the refresh token, out of reach of scripts, and the cross-site token."""
    response.set_cookie(
        REFRESH_COOKIE,
        refresh_token,
        max_age=policy.refresh_ttl_s,
        path=COOKIE_PATH,
        secure=policy.secure_cookies,
        httponly=True,
        samesite="strict",
    )
    response.set_cookie(
        CSRF_COOKIE,
        csrf_token_of(refresh_token),
        max_age=policy.refresh_ttl_s,
        path="/",
        secure=policy.secure_cookies,
        httponly=False,
        samesite="strict",
    )


def clear_cookies(response: Response) -> None:
    """Take both cookies back."""
    response.delete_cookie(REFRESH_COOKIE, path=COOKIE_PATH, httponly=True, samesite="strict")
    response.delete_cookie(CSRF_COOKIE, path="/", samesite="strict")
