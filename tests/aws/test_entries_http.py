"""Recorded requests through each function's own Lambda and through the self-hosted server."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from quantlab.webhooks.signature import sign
from quantlab_manifest import HttpWake
from tests.support.gateway import HTTP, filled, recorded, routed
from tests.support.lambdas import Answer, Twins
from tests.support.twin_site import Cast, api_key, executing_beside

pytestmark = pytest.mark.stack

CASES = [
    pytest.param(name, case, id=f"{name}: {case['name']}")
    for name in HTTP
    for case in recorded(f"http/{name}")
]
HEADERS = (
    "content-type", "content-length", "cache-control", "www-authenticate", "retry-after", "allow",
    "location", "x-content-type-options",
)  # fmt: skip
# A problem's own: its ids, and how old a signature was when it came.
OWN = re.compile(rb'"(correlationId|signalId)": "[^"]+"|\d+(?= s old)')
# What differs because it was made, or measured, twice.
MADE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?Z| \d\d:\d\d:\d\d)"
    r"|(whsec_|qle_)?[A-Za-z0-9_.+/=-]{32,}"
    r'|(?<="eventSeq":)\d+|(?<="latencyMs":)[0-9.]+|(?<="feedClockAgeMs":)\d+'
    r'|(?<="fillSeed":")\d+'
    r"|(?<=expires=)\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"
    r"|\b(lambda|selfhost)\b"
)


@pytest.fixture(scope="module", autouse=True)
def executor(hosts: Twins) -> Iterator[None]:
    with executing_beside(hosts):
        yield


def event_for(side: str, case: dict[str, Any], hosts: Twins, people: Cast) -> dict[str, Any]:
    """Fill a recorded request for one host: what may be made only once is made for each."""
    words = {**people.words, "side": side}
    if "{{keyToEnd}}" in json.dumps(case):
        words["keyToEnd"], _ = hosts.do(api_key(hosts.world, people.scope))
    if case["event"]["isBase64Encoded"]:
        raw = base64.b64decode(case["event"]["body"])
    else:
        raw = filled(case["event"].get("body", ""), words).encode()
    now_s = hosts.world.ports.clock.now_ns() // 1_000_000_000
    words["signature"] = sign(people.bot.secret, now_s, raw)
    words["staleSignature"] = sign(people.bot.secret, now_s - 86_400, raw)
    event: dict[str, Any] = filled(case["event"], words)
    if "content-length" in event["headers"]:
        event["headers"]["content-length"] = str(len(raw))
    return event


def shown(answer: Answer) -> tuple[Any, ...]:
    """Return what must be the same: all of a problem but its own, the rest as made."""
    headers = {name: answer.headers[name] for name in HEADERS if name in answer.headers}
    if answer.headers.get("content-type") == "application/problem+json":
        return answer.status, headers, OWN.sub(b"", answer.body), answer.cookies
    headers.pop("content-length", None)
    kept = [MADE.sub("*", text) for text in (*headers.values(), answer.body.decode())]
    return answer.status, list(headers), kept, [MADE.sub("*", text) for text in answer.cookies]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_lambda_answers_as_the_self_hosted_server(
    hosts: Twins, people: Cast, name: str, case: dict[str, Any]
) -> None:
    on_aws = event_for("lambda", case, hosts, people)
    at_home = event_for("selfhost", case, hosts, people)
    assert routed(on_aws["rawPath"]).name == name
    # Else the feed may fall silent between the two requests.
    hosts.do(hosts.world.beat())
    ours, theirs = hosts.lambdas.request(on_aws), hosts.self_hosted(at_home)
    assert ours.status < 500, ours.body
    if case["name"].startswith("signed, body in base64"):
        assert (ours.status, theirs.status) == (202, 200)  # the same bytes twice
        return
    assert shown(ours) == shown(theirs)
    correlations = (ours.headers["x-correlation-id"], theirs.headers["x-correlation-id"])
    assert all(correlations)


def test_every_function_has_recorded_requests() -> None:
    """A new function fails above until it has a file; one request would say little."""
    assert [name for name in HTTP if len(recorded(f"http/{name}")) < 3] == []


def test_a_stage_of_another_name_is_no_part_of_the_path(hosts: Twins, people: Cast) -> None:
    case = next(case for case in recorded("http/users") if case["name"] == "me")
    event = event_for("lambda", case, hosts, people)
    named = {**event["requestContext"], "stage": "live"}
    plain = hosts.lambdas.request(event)
    told = hosts.lambdas.invoke("gateway/authorizer", event)
    named["authorizer"] = {"lambda": told["context"]}
    staged = {**event, "rawPath": f"/live{event['rawPath']}", "requestContext": named}
    answer = hosts.lambdas.invoke("http/users", staged)
    assert (plain.status, plain.body) == (200, answer["body"].encode())


def test_a_function_behind_the_gateway_believes_its_authorizer_only(
    hosts: Twins, people: Cast
) -> None:
    case = next(case for case in recorded("http/users") if case["name"] == "me")
    event = event_for("lambda", case, hosts, people)
    answer = hosts.lambdas.invoke("http/users", event)
    assert answer["statusCode"] == 401
    odd = {**event["requestContext"], "authorizer": {"lambda": {"isAuthorized": "true"}}}
    assert hosts.lambdas.invoke("http/users", {**event, "requestContext": odd})["statusCode"] == 401


def test_every_path_of_a_function_is_routed_to_it() -> None:
    for name, manifest in HTTP.items():
        assert isinstance(manifest.wake, HttpWake)
        for prefix in manifest.wake.prefixes:
            path = re.sub(r"\{\w+\}", "x", prefix)
            assert routed(path).name == name


VECTORS = ("apiGatewayProxyEvent", "apiGatewayProxyV2Event", "apiGatewayProxyV2Event_GET")


@pytest.mark.parametrize("function", [f"http/{name}" for name in HTTP])
@pytest.mark.parametrize("name", VECTORS)
def test_requests_that_aws_published_are_answered(
    hosts: Twins, vector: Callable[[str], Any], function: str, name: str
) -> None:
    """No function of ours has their path: each says so, in the words of the self-hosted server."""
    answer = hosts.lambdas.invoke(function, vector(name))
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (404, False)
    sent = recorded("http/not_found")[0]["event"]
    at_home = hosts.self_hosted({**sent, "rawPath": "/my/path"})
    bodies = (answer["body"].encode(), at_home.body)
    assert OWN.sub(b"", bodies[0]) == OWN.sub(b"", bodies[1])
