"""What a gateway is told, and for how long that is believed."""

import json

import pytest

from quantlab.tenancy.permissions import Permission, Role
from quantlab.tenancy.scope import Actor, Scope
from quantlab_app.ports.sessions import Credential
from quantlab_edge import gateway
from quantlab_edge.gateway import KnownContexts, proven_context, read_context, refused_context
from quantlab_edge.problems import ProblemError

SECOND_NS = 1_000_000_000
NOW_NS = 1_700_000_000 * SECOND_NS
USER = Actor("user", "00000000-0000-7000-8000-000000000001", Role.TRADER)
KEY = Actor("api_key", "00000000-0000-7000-8000-000000000002", Role.VIEWER, frozenset(
    {Permission.ACCOUNTS_READ}
))  # fmt: skip
REFUSED = ProblemError("unauthorized", "Expected something else.")
NAME = KnownContexts.name("bearer", "abc")


def credential(actor: Actor = USER, expires_ns: int | None = None) -> Credential:
    return Credential(
        scope=Scope("acme", actor, "the authorizer's"),
        kind="session" if actor is USER else "api_key",
        reference="r",
        home_tenant_id="home",
        expires_ns=expires_ns,
    )


@pytest.mark.parametrize("actor", [USER, KEY])
@pytest.mark.parametrize("expires_ns", [None, NOW_NS])
def test_a_credential_comes_through_whole_with_the_functions_own_correlation(
    actor: Actor, expires_ns: int | None
) -> None:
    told = proven_context(credential(actor, expires_ns))
    assert all(isinstance(value, str) for value in told.values())
    found = read_context(json.loads(json.dumps(told)), "the function's")
    assert found is not None
    assert found.scope == Scope("acme", actor, "the function's")
    assert (found.reference, found.home_tenant_id, found.expires_ns) == ("r", "home", expires_ns)


def test_a_problem_comes_through_whole() -> None:
    problem = ProblemError("stores_unavailable", "Try again shortly.", (), 1)
    with pytest.raises(ProblemError) as raised:
        read_context(refused_context(problem), "c")
    found = raised.value
    assert (found.slug, found.detail, found.retry_after_s) == (problem.slug, problem.detail, 1)


@pytest.mark.parametrize("context", [None, {}, {"isAuthorized": "true"}, {"user": "root"}])
def test_without_a_word_from_the_authorizer_nobody_asks(context: dict[str, str] | None) -> None:
    assert read_context(context, "c") is None


def test_a_problem_goes_before_a_principal() -> None:
    both = {**proven_context(credential()), **refused_context(REFUSED)}
    with pytest.raises(ProblemError):
        read_context(both, "c")


def test_what_stands_is_believed_for_twenty_seconds_at_most() -> None:
    known = KnownContexts()
    told = known.prove(NAME, credential(), NOW_NS)
    assert known.find(NAME, NOW_NS + 20 * SECOND_NS - 1) == told
    assert known.find(NAME, NOW_NS + 20 * SECOND_NS) is None


def test_what_stands_is_never_believed_beyond_its_own_end() -> None:
    known = KnownContexts()
    known.prove(NAME, credential(expires_ns=NOW_NS + 3), NOW_NS)
    assert known.find(NAME, NOW_NS + 2) is not None
    assert known.find(NAME, NOW_NS + 3) is None


def test_what_does_not_stand_is_believed_for_five_seconds_at_most() -> None:
    known = KnownContexts()
    told = known.refuse(NAME, REFUSED, NOW_NS)
    assert known.find(NAME, NOW_NS + 5 * SECOND_NS - 1) == told
    assert known.find(NAME, NOW_NS + 5 * SECOND_NS) is None


def test_the_same_text_of_another_scheme_is_another_credential() -> None:
    known = KnownContexts()
    known.prove(NAME, credential(), NOW_NS)
    assert known.find(KnownContexts.name("api_key", "abc"), NOW_NS) is None


def test_guesses_push_nobody_out_and_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "KNOWN_MAX", 8)
    known = KnownContexts()
    known.prove(NAME, credential(), NOW_NS)
    for number in range(100):
        known.refuse(KnownContexts.name("bearer", str(number)), REFUSED, NOW_NS)
    assert known.find(NAME, NOW_NS) is not None
    assert len(known._refused) == 8
