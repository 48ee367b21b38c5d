"""FastAPI's part of an application: routes of which it reads and checks the parameters.

Raw routes do without: a function of theirs alone starts in half the time.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import Response

from quantlab_edge.problems import (
    ERRORS_MAX,
    FieldError,
    ProblemError,
    correlation_id_of,
    problem_response,
    shown,
)

TITLE: Final = "QuantLabEngine"
VERSION: Final = "0.1.0"
_SECRET_WORDS: Final = ("password", "secret", "token", "code", "key", "authorization")


def new_app() -> FastAPI:
    """Make an application that has neither routes nor an edge yet."""
    app = FastAPI(
        title=TITLE, version=VERSION, openapi_url=None, docs_url=None, redoc_url=None,
        separate_input_output_schemas=False,
        # The edge counts and logs; whether FastAPI should too is looked up at each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )  # fmt: skip
    app.add_exception_handler(RequestValidationError, _refuse)
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    problem = problem_of_validation(cast(RequestValidationError, error))
    return problem_response(problem, correlation_id_of(request))


def problem_of_validation(error: RequestValidationError) -> ProblemError:
    """Say which parts of a request do not hold, or where its JSON ends."""
    items = error.errors()
    if any(item["type"] == "json_invalid" for item in items):
        item = next(item for item in items if item["type"] == "json_invalid")
        reason = item.get("ctx", {}).get("error", "it ends too early")
        return ProblemError("malformed_json", f"At character {item['loc'][-1]}: {reason}.")
    errors = [_field_error(item) for item in items[:ERRORS_MAX]]
    return ProblemError("invalid_fields", f"{len(items)} field(s) do not hold.", errors)


def _field_error(item: Mapping[str, Any]) -> FieldError:
    # Names of a union's members begin with a bar and are no part of the document.
    parts = [str(part) for part in item["loc"]]
    place, *path = [part for part in parts if not part.startswith("|")] or ["body"]
    escaped = "/".join(part.replace("~", "~0").replace("/", "~1") for part in path)
    pointer = ("/" + escaped if path else "") if place == "body" else f"{place}/{escaped}"
    secret = any(word in "/".join(path).lower() for word in _SECRET_WORDS)
    missing = item["type"] == "missing"
    got = "nothing" if missing else shown(item.get("input"), hidden=secret)
    return FieldError(pointer, "a value" if missing else _expected(item), got)


def _expected(item: Mapping[str, Any]) -> str:
    if item["type"] == "extra_forbidden":
        return "no such field"
    message = str(item["msg"]).removeprefix("Value error, ")
    return message.removeprefix("Input should be ")
