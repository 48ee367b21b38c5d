"""What no client of good sense sends: an answer all the same, and the server lives on."""

import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.aws_platform import AwsPlatform
from tests.support.running_platform import ANSWER_S, Platform, eventually
from tests.support.wrong_input import House, assert_problem, counted

pytestmark = [pytest.mark.stack, pytest.mark.e2e]
LIMIT = 65_536


def _chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 8192 + 1):
        yield b" " * 8192


@pytest.mark.parametrize("body", [b" " * (LIMIT + 1), None], ids=["announced", "chunked"])
def test_a_huge_body_is_counted_and_not_read(house: House, body: bytes | None) -> None:
    before, attempts = house.written(), counted(house.made)
    content: Any = body if body is not None else _chunks(40 * LIMIT)
    url = f"{house.made.url}/webhooks/signals"
    answer = httpx.post(
        url, content=content, headers={"X-Bot-Id": house.bot["botId"]}, timeout=ANSWER_S
    )
    assert "signalId" not in assert_problem(answer, 413, "payload_too_large")
    assert house.written() == before
    assert counted(house.made) == attempts + 1
    assert_problem(
        house.order(content=content if body else _chunks(2 * LIMIT)), 413, "payload_too_large"
    )


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_wrong_method(house: House, method: str) -> None:
    for path in ("/webhooks/signals", "/oauth2/token"):
        answer = httpx.request(method, house.made.url + path, timeout=ANSWER_S)
        assert_problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("given", ["short", "x" * 65, 'a"b<script>', "a,b c d e f g"])
def test_a_correlation_id_of_another_form_is_replaced(house: House, given: str) -> None:
    answer = httpx.get(
        f"{house.made.url}/me", headers={"X-Correlation-Id": given}, timeout=ANSWER_S
    )
    document = assert_problem(answer, 401, "unauthorized")
    assert given not in str(document)
    assert given not in str(answer.headers)


def test_a_header_cannot_be_smuggled(house: House) -> None:
    """Bytes no HTTP client sends are refused as a whole, and the server lives on."""
    for head in (
        b"X-Bot-Id: a\r\n\tX-Evil: 1\r\n",
        b"X-Bot-Id: a\x00b\r\n",
        b"X-Correlation-Id: abcdefgh\nX-Evil: 1\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ):
        answer = _raw(
            house.made, b"POST /webhooks/signals HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n"
        )
        assert b" 202 " not in answer, (head, answer)
        assert b" 500 " not in answer, (head, answer)
        assert b"x-evil" not in answer.lower(), (head, answer)
    assert httpx.get(f"{house.made.url}/health", timeout=ANSWER_S).status_code == 200


def test_a_sender_who_leaves_is_no_failure_of_ours(house: House) -> None:
    if isinstance(house.made, AwsPlatform):
        pytest.skip("the gateway reads requests to their end; what is cut off never reaches us")
    before, attempts = house.written(), counted(house.made)
    head = b"POST /webhooks/signals HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n"
    with socket.create_connection(("127.0.0.1", house.made.port), timeout=2) as connection:
        connection.sendall(head + b'{"symbol":')
    log = house.made.state / "logs" / "server.log"
    assert eventually(lambda: "/webhooks/signals status=400" in _plain(log.read_text()))
    assert "unhandled" not in log.read_text()
    assert (house.written(), counted(house.made)) == (before, attempts)


def _plain(text: str) -> str:
    """Return log lines without colours and quotes, path before status."""
    return re.sub(r"\x1b\[[0-9;]*m|['\"]", "", text)


def _raw(made: Platform, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", made.port), timeout=2) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while chunk := connection.recv(4096):
                answer += chunk
        except OSError:
            pass
        return answer
