"""Requests as API Gateway hands them to a Lambda, and the way it finds the function."""

import base64
import json
from pathlib import Path
from typing import Any

from quantlab_manifest import EVERYTHING_ELSE, HttpWake, Manifest, load_all

ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "tests" / "aws" / "events"
MANIFESTS = load_all(ROOT / "functions")
HTTP = {m.name: m for m in MANIFESTS if isinstance(m.wake, HttpWake)}
DOMAIN = "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com"


def http_event(
    method: str,
    path: str,
    *,
    query: str = "",
    headers: dict[str, str] | None = None,
    body: str | bytes | None = None,
    source: str = "127.0.0.1",
) -> dict[str, Any]:
    """Write a request in the payload format 2.0."""
    sent = {"accept": "*/*", "host": DOMAIN, "x-forwarded-proto": "https", **(headers or {})}
    cookies = sent.pop("cookie", "").split("; ")
    if body is not None:
        sent["content-length"] = str(len(body.encode() if isinstance(body, str) else body))
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": sent,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "domainName": DOMAIN,
            "domainPrefix": "a1b2c3d4e5",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": source,
                "userAgent": "curl/8.5.0",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "10/Mar/2026:05:16:23 +0000",
            "timeEpoch": 1773119783684,
        },
        "isBase64Encoded": isinstance(body, bytes),
    }
    if cookies != [""]:
        event["cookies"] = cookies
    if body is not None:
        event["body"] = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    return event


def authorizer_event(event: dict[str, Any]) -> dict[str, Any]:
    """Write the question that the gateway asks before it hands a request on."""
    kept = ("version", "routeKey", "rawPath", "rawQueryString", "headers", "requestContext")
    question = {name: event[name] for name in kept if name in event}
    arn = "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3d4e5/$default"
    return {**question, "type": "REQUEST", "routeArn": f"{arn}/{event['routeKey']}"}


def routed(path: str) -> Manifest:
    """Find the function whose prefix fits a path best, as the routes of the gateway do."""
    best, found = -1, HTTP["not_found"]
    for manifest in HTTP.values():
        assert isinstance(manifest.wake, HttpWake)
        for prefix in manifest.wake.prefixes:
            fits = _fit(prefix, path)
            if prefix != EVERYTHING_ELSE and fits > best:
                best, found = fits, manifest
    return found


def _fit(prefix: str, path: str) -> int:
    """Count the parts of a prefix, fixed ones twice, if the path stands at or below it."""
    wanted, given = prefix.strip("/").split("/"), path.strip("/").split("/")
    fitting = len(given) >= len(wanted) and all(
        part.startswith("{") or part == there for part, there in zip(wanted, given, strict=False)
    )
    return sum(1 if part.startswith("{") else 2 for part in wanted) if fitting else -1


def recorded(name: str) -> Any:
    """Read events recorded before; {{words}} in them stand for what a test makes."""
    return json.loads((EVENTS / f"{name}.json").read_text("utf-8"))


def filled(value: Any, words: dict[str, str]) -> Any:
    """Put what a test has made in the place of the words."""
    text = json.dumps(value)
    for word, made in words.items():
        text = text.replace("{{" + word + "}}", json.dumps(made)[1:-1])
    assert "{{" not in text, text
    return json.loads(text)
