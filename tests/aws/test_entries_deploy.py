"""A tenant as a resource of a deployment: made once, kept current, and always answered."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest

from quantlab_app.use_cases.identity import lookup_hash
from quantlab_app.use_cases.provisioning import API_KEY_NAME
from quantlab_edge import deployments
from tests.support.lambdas import PREFIX, Twins
from tests.support.world import BETA, CONFIGS

pytestmark = pytest.mark.stack
FUNCTION = "deploy/tenant"
NEW = "green-meadow"


@dataclass
class Deployment:
    """Where answers go: what CloudFormation would get, and whether it takes them."""

    url: str = ""
    answers: list[dict[str, Any]] = field(default_factory=list)
    content_types: list[str] = field(default_factory=list)
    refuses: int = 0


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    made = Deployment()

    class Taker(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.content_types.append(self.headers.get("Content-Type", ""))
            if made.refuses:
                made.refuses -= 1
                self.send_error(503)
                return
            made.answers.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/answer?signed=yes"
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def document(tenant_id: str, **changes: Any) -> str:
    held = json.loads((CONFIGS / "tenants" / f"{BETA}.json").read_text("utf-8"))
    held["tenantId"] = tenant_id
    held["branding"]["hostNames"] = [f"{tenant_id}.example"]
    return json.dumps(held | changes)


def event(deployment: Deployment, wish: str, tenant_id: str, **properties: Any) -> dict[str, Any]:
    return {
        "RequestType": wish,
        "ResponseURL": deployment.url,
        "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/tenants/1",
        "RequestId": f"request-{wish}-{tenant_id}",
        "ResourceType": "Custom::QuantLabTenant",
        "LogicalResourceId": "Tenant",
        **({} if wish == "Create" else {"PhysicalResourceId": f"tenant/{tenant_id}"}),
        "ResourceProperties": {"ServiceToken": "arn", "tenantId": tenant_id, **properties},
    }


def deploy(hosts: Twins, deployment: Deployment, request: dict[str, Any]) -> dict[str, Any]:
    told = hosts.lambdas.invoke(FUNCTION, request)
    answer = deployment.answers.pop()
    assert told == {"status": answer["Status"]}
    for name in ("StackId", "RequestId", "LogicalResourceId"):
        assert answer[name] == request[name]
    return answer


def api_key(tenant_id: str) -> str:
    secrets = boto3.client("secretsmanager")
    held = secrets.get_secret_value(SecretId=f"{PREFIX}/tenants/{tenant_id}/api-key")
    return str(held["SecretString"])


def keys_of(hosts: Twins, tenant_id: str) -> list[Any]:
    scope = hosts.world.scope(tenant_id)
    found = hosts.do(hosts.world.ports.api_keys.page(scope, 50, None))
    return [key for key in found if key.name == API_KEY_NAME]


def test_a_tenant_comes_to_be_and_its_key_opens_it(hosts: Twins, deployment: Deployment) -> None:
    request = event(deployment, "Create", NEW, document=document(NEW))
    answer = deploy(hosts, deployment, request)
    assert answer["Status"] == "SUCCESS"
    assert answer["PhysicalResourceId"] == f"tenant/{NEW}"
    assert answer["Data"]["tenantId"] == NEW
    assert deployment.content_types == [""]
    text = api_key(NEW)
    entry = hosts.do(hosts.world.ports.directory.find("api_key", lookup_hash(text)))
    assert entry is not None
    assert entry.tenant_id == NEW
    assert text not in json.dumps(answer)


def test_again_and_again_changes_nothing(hosts: Twins, deployment: Deployment) -> None:
    """CloudFormation may ask twice, and a function that was cut off is called once more."""
    request = event(deployment, "Create", NEW, document=document(NEW))
    first = deploy(hosts, deployment, request)
    key = api_key(NEW)
    for wish in ("Create", "Update"):
        again = deploy(hosts, deployment, event(deployment, wish, NEW, document=document(NEW)))
        assert again["Data"] == first["Data"]
    assert api_key(NEW) == key
    assert len(keys_of(hosts, NEW)) == 1


def test_an_update_takes_over_the_new_document(hosts: Twins, deployment: Deployment) -> None:
    deploy(hosts, deployment, event(deployment, "Create", NEW, document=document(NEW)))
    changed = document(NEW, timeZone="Europe/Berlin")
    answer = deploy(hosts, deployment, event(deployment, "Update", NEW, document=changed))
    current = hosts.do(hosts.world.ports.tenant_configs.current(hosts.world.scope(NEW)))
    assert answer["Data"]["version"] == current.version
    assert answer["PhysicalResourceId"] == f"tenant/{NEW}"
    assert current.document["timeZone"] == "Europe/Berlin"


def test_a_key_that_was_made_but_not_kept_is_ended(
    hosts: Twins, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two deployments at once: one key is kept, and nothing but that one opens anything."""
    from quantlab_adapters.aws.keys import ManagedVault

    async def not_yet(*_: object, **__: object) -> bool:
        return False

    deploy(hosts, deployment, event(deployment, "Create", NEW, document=document(NEW)))
    before = keys_of(hosts, NEW)
    monkeypatch.setattr(ManagedVault, "holds", not_yet)
    deploy(hosts, deployment, event(deployment, "Update", NEW, document=document(NEW)))
    after = keys_of(hosts, NEW)
    assert len(after) == len(before) + 1
    assert [key.revoked_ns is None for key in after] == [True] * len(before) + [False]


def test_deleting_keeps_everything(hosts: Twins, deployment: Deployment) -> None:
    deploy(hosts, deployment, event(deployment, "Create", NEW, document=document(NEW)))
    key = api_key(NEW)
    answer = deploy(hosts, deployment, event(deployment, "Delete", NEW, document="{"))
    assert answer["Status"] == "SUCCESS"
    assert api_key(NEW) == key
    assert hosts.do(hosts.world.ports.tenant_configs.current(hosts.world.scope(NEW)))


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({}, "document: expected text, got None"),
        ({"document": "{"}, "line 1"),
        ({"document": document(NEW, timeZone="Mars/Olympus")}, "timeZone"),
        ({"document": document("other-name")}, "tenantId"),
        ({"document": document(NEW, webhooks=[])}, "webhooks: expected an object"),
    ],
)
def test_what_is_wrong_is_said(
    hosts: Twins, deployment: Deployment, properties: dict[str, str], reason: str
) -> None:
    answer = deploy(hosts, deployment, event(deployment, "Create", NEW, **properties))
    assert answer["Status"] == "FAILED"
    assert reason in answer["Reason"]
    assert len(json.dumps(answer)) < 4096


def test_a_host_name_of_another_tenant_is_refused(hosts: Twins, deployment: Deployment) -> None:
    held = json.loads(document(NEW))
    held["branding"]["hostNames"] = ["northwind.localhost"]
    request = event(deployment, "Create", NEW, document=json.dumps(held))
    answer = deploy(hosts, deployment, request)
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("Conflict")


def test_stores_that_nobody_filled_in_are_named(hosts: Twins, deployment: Deployment) -> None:
    boto3.client("secretsmanager").create_secret(Name=f"{PREFIX}/empty", Description="empty")
    lambdas = type(hosts.lambdas)({**hosts.lambdas.settings, "stores_secret": f"{PREFIX}/empty"})
    try:
        request = event(deployment, "Create", NEW, document=document(NEW))
        assert lambdas.invoke(FUNCTION, request) == {"status": "FAILED"}
    finally:
        lambdas.close()
    (answer,) = deployment.answers
    assert answer["PhysicalResourceId"] == deployments.UNMADE
    assert f"expected a secret {PREFIX}/empty" in answer["Reason"]


def test_what_never_came_to_be_is_deleted_without_work(
    hosts: Twins, deployment: Deployment
) -> None:
    """CloudFormation rolls a failed creation back by deleting it."""
    request = event(deployment, "Delete", NEW) | {"PhysicalResourceId": deployments.UNMADE}
    assert deploy(hosts, deployment, request)["Status"] == "SUCCESS"


def test_an_answer_that_is_not_taken_is_sent_again(
    hosts: Twins, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployments, "SEND_PAUSE_S", 0.01)
    deployment.refuses = deployments.SEND_TRIES - 1
    request = event(deployment, "Create", NEW, document=document(NEW))
    assert deploy(hosts, deployment, request)["Status"] == "SUCCESS"
    deployment.refuses = deployments.SEND_TRIES
    with pytest.raises(OSError, match="503"):
        hosts.lambdas.invoke(FUNCTION, request)


def test_the_first_keys_are_made_once(hosts: Twins, deployment: Deployment) -> None:
    secrets = boto3.client("secretsmanager")
    secrets.create_secret(Name=f"{PREFIX}/first", Description="empty")
    lambdas = type(hosts.lambdas)({**hosts.lambdas.settings, "keys_secret": f"{PREFIX}/first"})
    held = []
    try:
        for tenant_id in ("first-tenant", "second-tenant"):
            request = event(deployment, "Create", tenant_id, document=document(tenant_id))
            assert lambdas.invoke(FUNCTION, request) == {"status": "SUCCESS"}
            held.append(secrets.get_secret_value(SecretId=f"{PREFIX}/first")["SecretString"])
    finally:
        lambdas.close()
    assert held[0] == held[1]
    assert set(json.loads(held[0])) == {"masters", "jwt", "audit"}
