"""What commands need that speak to a server as its users do: where it is, and who they are."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer

from quantlab_server import demo_file as demos
from quantlab_server.cli.stages import STARTERS, Stage, StageOption, StateOption, state_of
from quantlab_server.private_files import read_json_object
from quantlab_server.refusal import Refusal

DEFAULT_URL: Final = "http://127.0.0.1:8080"
REQUEST_S: Final = 60.0  # a cold function of a cloud takes its time
PAGE: Final = 500

Url = Annotated[
    str | None, typer.Option(envvar="QUANTLAB_URL", help="Server; by default the demo's.")
]
Tenant = Annotated[
    str | None, typer.Option(envvar="QUANTLAB_TENANT", help="By default the demo's first.")
]
ApiKey = Annotated[
    str | None, typer.Option(envvar="QUANTLAB_API_KEY", help="By default the demo tenant's.")
]
Email = Annotated[str | None, typer.Option(help="Instead of --api-key.")]
Password = Annotated[str | None, typer.Option(envvar="QUANTLAB_PASSWORD")]


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that was refused: the document of the problem."""

    path: str
    status: int
    problem: Mapping[str, Any]

    def sentence(self) -> str:
        """Say it in one line, with the first field that does not hold."""
        errors = self.problem.get("errors") or [{}]
        known = self.problem.get("detail") or self.problem.get("title") or "no detail"
        wrong = errors[0]
        named = ""
        if wrong.get("pointer"):
            named = f" ({wrong['pointer']}: expected {wrong['expected']}, was {wrong['got']})"
        return f"{self.path}: {self.status}: {known}{named}"


@dataclass(slots=True)
class Rest:
    """A tenant's resources on a server, asked as one of its users or with one of its keys."""

    url: str
    tenant_id: str
    headers: Mapping[str, str] = field(repr=False)

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Return a resource below the tenant; raises Refusal."""
        return self._held(self._asked("GET", path, params=query))

    def items(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield what all pages of a list hold."""
        page = self.get(path, **query, limit=PAGE)
        while True:
            yield from page["items"]
            if not page.get("nextCursor"):
                return
            page = self.get(path, **query, limit=PAGE, cursor=page["nextCursor"])

    def send(self, method: str, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Send a document and return the answer's; raises Refusal."""
        return self._held(self.asked(method, path, document))

    def asked(
        self, method: str, path: str, document: Mapping[str, Any]
    ) -> dict[str, Any] | Answered:
        """Send a document and return the answer's, or the problem there is with it."""
        return self._asked(method, path, json=document)

    def _asked(self, method: str, path: str, **request: Any) -> dict[str, Any] | Answered:
        target = f"/tenants/{self.tenant_id}{path}"
        return _exchanged(self.url, method, target, headers=dict(self.headers), **request)

    def _held(self, answer: dict[str, Any] | Answered) -> dict[str, Any]:
        if isinstance(answer, Answered):
            raise Refusal(answer.sentence())
        return answer


def with_rest(
    command: Callable[..., None],
) -> Callable[..., None]:
    """Give a command, whose first argument is the server's `Rest`, the options of a login."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    login = list(inspect.signature(_login, eval_str=True).parameters.values())

    def logged_in(**given: Any) -> None:
        rest = _login(**{one.name: given.pop(one.name) for one in login})
        command(rest, **given)

    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *login)]
    logged_in.__doc__, logged_in.__name__ = command.__doc__, command.__name__
    logged_in.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    logged_in.__annotations__ = {one.name: one.annotation for one in parameters}
    return logged_in


def _login(
    url: Url = None,
    tenant: Tenant = None,
    api_key: ApiKey = None,
    email: Email = None,
    password: Password = None,
    stage: StageOption = Stage.LOCAL,
    state: StateOption = None,
) -> Rest:
    """Take the login from the options, what they leave out from the demo's credentials."""
    if api_key is None and email is None:
        document = _demo(stage, state)
        known = _demo_tenant(document, tenant)
        return Rest(url or document["url"], known["tenantId"], {"X-Api-Key": known["apiKey"]})
    if tenant is None:
        raise Refusal("expected --tenant beside --api-key or --email.")
    server = url or DEFAULT_URL
    if api_key is not None:
        return Rest(server, tenant, {"X-Api-Key": api_key})
    if password is None:
        raise Refusal("expected --password, or QUANTLAB_PASSWORD, beside --email.")
    form = {
        "grant_type": "password", "username": email, "password": password, "tenant_id": tenant,
    }  # fmt: skip
    answer = _exchanged(server, "POST", "/oauth2/token", data=form)
    if isinstance(answer, Answered):
        raise Refusal(answer.sentence())
    return Rest(server, tenant, {"Authorization": f"Bearer {answer['access_token']}"})


def _demo(stage: Stage, state: Path | None) -> dict[str, Any]:
    path = state_of(stage, state) / demos.FILE
    if not path.exists():
        raise Refusal(
            f"{path} is missing: run {STARTERS[stage]} first, or name --tenant and --api-key."
        )
    return read_json_object(path)


def _demo_tenant(document: Mapping[str, Any], wanted: str | None) -> dict[str, Any]:
    for one in document["tenants"]:
        if wanted in (None, one["tenantId"]):
            found: dict[str, Any] = one
            return found
    raise Refusal(f"{wanted} is none of the demo's tenants: name its --api-key too.")


def _exchanged(url: str, method: str, path: str, **request: Any) -> dict[str, Any] | Answered:
    try:
        answer = httpx.request(method, f"{url}{path}", timeout=REQUEST_S, **request)
        document: dict[str, Any] = answer.json() if answer.content else {}
    except httpx.HTTPError as error:
        raise Refusal(f"{url} does not answer ({error}): is the server up?") from error
    except ValueError as error:
        raise Refusal(f"{path}: {answer.status_code}: the answer is no JSON") from error
    return Answered(path, answer.status_code, document) if answer.is_error else document
