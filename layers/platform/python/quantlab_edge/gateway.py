"""What a gateway is told of a request's credentials, and how the function behind it reads that.

It must not decide whether a credential holds: that is quantlab_app.use_cases.identity.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from quantlab.kernel.instants import SECOND_NS
from quantlab.tenancy.permissions import Permission, Role
from quantlab.tenancy.scope import Actor, Scope
from quantlab_app.ports.sessions import Credential
from quantlab_edge.problems import ProblemError

PRINCIPAL: Final = "principal"
PROBLEM: Final = "problem"
PROVEN_S: Final = 20
REFUSED_S: Final = 5
KNOWN_MAX: Final = 4096

Context = Mapping[str, str]


def proven_context(credential: Credential) -> Context:
    """Write down whose request it is; the correlation stays the function's own."""
    actor = credential.scope.actor
    document = {
        "tenant": credential.scope.tenant_id,
        "actor": [actor.kind, actor.id, actor.role],
        "scopes": None if actor.scopes is None else sorted(actor.scopes),
        "kind": credential.kind,
        "reference": credential.reference,
        "home": credential.home_tenant_id,
        "expires": credential.expires_ns,
    }
    return {PRINCIPAL: json.dumps(document)}


def refused_context(problem: ProblemError) -> Context:
    """Write down what is wrong, for the function to answer."""
    document = {
        "slug": problem.slug, "detail": problem.detail, "retryAfterS": problem.retry_after_s,
    }  # fmt: skip
    return {PROBLEM: json.dumps(document)}


def read_context(context: Mapping[str, Any] | None, correlation_id: str) -> Credential | None:
    """Read whose request it is; None without credentials. What was wrong with them is raised."""
    if not context:
        return None
    if PROBLEM in context:
        found = json.loads(context[PROBLEM])
        raise ProblemError(found["slug"], found["detail"], (), found["retryAfterS"])
    if PRINCIPAL not in context:
        return None
    found = json.loads(context[PRINCIPAL])
    kind, actor_id, role = found["actor"]
    scopes = found["scopes"]
    narrowed = None if scopes is None else frozenset(Permission(scope) for scope in scopes)
    actor = Actor(kind, actor_id, Role(role), narrowed)
    return Credential(
        scope=Scope(found["tenant"], actor, correlation_id),
        kind=found["kind"],
        reference=found["reference"],
        home_tenant_id=found["home"],
        expires_ns=found["expires"],
    )


class KnownContexts:
    """What was found out about credentials a moment ago, by the digest of their text.

    An end of a credential shows when its entry does; refusals have a place of their own, so that
    guesses push nobody out.
    """

    def __init__(self) -> None:
        self._proven: OrderedDict[bytes, tuple[int, Context]] = OrderedDict()
        self._refused: OrderedDict[bytes, tuple[int, Context]] = OrderedDict()

    @staticmethod
    def name(scheme: str, text: str) -> bytes:
        """Return the digest under which a credential is known."""
        return hashlib.sha256(f"{scheme}\0{text}".encode("utf-8", "surrogatepass")).digest()

    def find(self, name: bytes, now_ns: int) -> Context | None:
        """Return what is known and not too old."""
        for entries in (self._proven, self._refused):
            until_ns, context = entries.get(name, (0, {}))
            if now_ns < until_ns:
                return context
        return None

    def prove(self, name: bytes, credential: Credential, now_ns: int) -> Context:
        """Remember a credential that stands, never beyond its own end."""
        until_ns = now_ns + PROVEN_S * SECOND_NS
        if credential.expires_ns is not None:
            until_ns = min(until_ns, credential.expires_ns)
        return self._keep(self._proven, name, until_ns, proven_context(credential))

    def refuse(self, name: bytes, problem: ProblemError, now_ns: int) -> Context:
        """Remember for a little while that a credential does not stand."""
        until_ns = now_ns + REFUSED_S * SECOND_NS
        return self._keep(self._refused, name, until_ns, refused_context(problem))

    @staticmethod
    def _keep(
        entries: OrderedDict[bytes, tuple[int, Context]],
        name: bytes,
        until_ns: int,
        context: Context,
    ) -> Context:
        entries[name] = (until_ns, context)
        entries.move_to_end(name)
        if len(entries) > KNOWN_MAX:
            entries.popitem(last=False)
        return context
