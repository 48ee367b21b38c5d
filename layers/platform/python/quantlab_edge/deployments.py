"""Resources of a deployment that a function makes: the request read, the answer always sent.

CloudFormation waits for an answer until its patience ends; so whatever goes wrong is answered.
"""

import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.error import URLError

import structlog

from quantlab_app.ports.errors import Fault

REASON_CHARS_MAX: Final = 1_500  # all of an answer must fit into 4 KB
SEND_TRIES: Final = 4
SEND_PAUSE_S: Final = 1.0
SEND_TIMEOUT_S: Final = 10.0
UNMADE: Final = "not-made"

_log = structlog.get_logger("quantlab.deployments")


class RefusedResource(Exception):
    """A resource that cannot be as its properties say; the text is for who deploys it."""


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """What a deployment wants done with one resource."""

    wish: Literal["Create", "Update", "Delete"]
    properties: Mapping[str, Any]
    request_id: str

    def text(self, name: str) -> str:
        """Return a property; RefusedResource without one."""
        value = self.properties.get(name)
        if not isinstance(value, str) or not value:
            raise RefusedResource(f"{name}: expected text, got {value!r}")
        return value


@dataclass(frozen=True, slots=True)
class Resource:
    """What was made: an identity that stays the same, and attributes that are no secrets."""

    identity: str
    attributes: Mapping[str, str]


def answer(event: Mapping[str, Any], work: Callable[[ResourceRequest], Resource]) -> str:
    """Do the work of a request and send its outcome; return SUCCESS or FAILED.

    A deletion of what never came to be is done already.
    """
    known = str(event.get("PhysicalResourceId") or UNMADE)
    if event["RequestType"] == "Delete" and known == UNMADE:
        return _send(event, "SUCCESS", Resource(known, {}), "")
    try:
        request = ResourceRequest(
            event["RequestType"], event.get("ResourceProperties") or {}, event["RequestId"]
        )
        made = work(request)
    except Exception as error:  # noqa: BLE001 - unanswered, the deployment would hang
        _log.error("resource failed", resource=event.get("LogicalResourceId"), exc_info=error)
        return _send(event, "FAILED", Resource(known, {}), _reason(error))
    return _send(event, "SUCCESS", made, "")


def _reason(error: Exception) -> str:
    """Say what was wrong; of an error that is not ours only the kind, the log has the rest."""
    if isinstance(error, RefusedResource):
        text = str(error)
    elif isinstance(error, Fault):
        text = f"{type(error).__name__}: {error}"
    else:
        text = f"{type(error).__name__}: the function's log has more"
    return text if len(text) <= REASON_CHARS_MAX else f"{text[:REASON_CHARS_MAX]}..."


def _send(event: Mapping[str, Any], status: str, resource: Resource, reason: str) -> str:
    body = {
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": resource.identity,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": dict(resource.attributes),
    }
    url = str(event["ResponseURL"])
    if not url.startswith(("https://", "http://")):
        raise ValueError("expected a web address to answer to")
    # The address is signed for an empty content type.
    request = urllib.request.Request(  # noqa: S310 - checked above
        url, data=json.dumps(body).encode(), headers={"Content-Type": ""}, method="PUT"
    )
    for attempt in range(1, SEND_TRIES + 1):
        try:
            with urllib.request.urlopen(request, timeout=SEND_TIMEOUT_S):  # noqa: S310 - as above
                return status
        except (URLError, TimeoutError, ConnectionError) as error:
            _log.warning("answer not taken", attempt=attempt, cause=repr(error))
            if attempt == SEND_TRIES:
                raise
            time.sleep(SEND_PAUSE_S * attempt)
    return status
