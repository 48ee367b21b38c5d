"""Posts outbound webhooks over httpx: names are resolved here, judged, and the address pinned.

What was judged is what is connected to: the request goes to the address, with the host's name in
the Host header and in TLS, whose certificate must be the host's. No redirect is followed, no proxy
or other word of the environment heeded, and no cookie kept.
"""

import asyncio
import contextlib
import email.utils
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import httpx

from quantlab.kernel.instants import SECOND_NS
from quantlab.webhooks.destination import Destination, read_destination, refused_address
from quantlab.webhooks.outbound import Answer
from quantlab_app.ports.clock import Clock

TIMEOUT_S: Final = 15.0
BODY_S: Final = 2.0
SHOWN_BYTES: Final = 1_000
ERROR_CHARS: Final = 200
HOSTS_MAX: Final = 64
IDLE_S: Final = 5.0
ADDRESSES_TRIED: Final = 3
_HEADERS: Final = {
    "content-type": "application/json",
    "accept-encoding": "identity",
    "user-agent": "QuantLab-Webhooks/1",
}
_SECONDS: Final = re.compile(r"\d{1,9}\Z")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class _Refused(Exception):
    """An address that no webhook may go to."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, in the system's order of preference."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(slots=True)
class _Kept:
    """The connections to one host; another name at the same address has its own certificate."""

    transport: httpx.AsyncHTTPTransport
    busy: int = 0


class HttpxWebhookSender:
    """WebhookSender port. loopback admits http and this machine, for development and tests."""

    def __init__(
        self,
        clock: Clock,
        *,
        loopback: bool,
        resolve: Resolve = resolve,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._clock = clock
        self._loopback = loopback
        self._resolve = resolve
        self._timeout_s = timeout_s
        self._hosts: dict[tuple[str, str, int], _Kept] = {}

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Read the authorities when something is sent: most who are given a sender only ask it."""
        return httpx.create_ssl_context(trust_env=False)

    async def close(self) -> None:
        """Close what connections are kept."""
        while self._hosts:
            _, kept = self._hosts.popitem()
            await kept.transport.aclose()

    def refusal(self, url: str) -> str | None:
        found = read_destination(url, loopback=self._loopback)
        return found if isinstance(found, str) else None

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        began = time.perf_counter()
        try:
            status, text, retry_after_s = await self._post(url, headers, body)
        except _Refused as error:
            return _failed(began, f"refused: {error}")
        except (TimeoutError, httpx.TimeoutException):
            return _failed(began, f"no answer within {self._timeout_s:g} s")
        except socket.gaierror:
            return _failed(began, "the host's name leads to no address")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            return _failed(began, f"{type(error).__name__}: {error}")
        return Answer(status, None, _since_ms(began), text, retry_after_s)

    async def _post(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, str, int | None]:
        destination = read_destination(url, loopback=self._loopback)
        if isinstance(destination, str):
            raise _Refused(destination)
        async with self._connections(destination) as transport:
            async with asyncio.timeout(self._timeout_s):
                response = await self._answered(transport, destination, url, headers, body)
            try:
                text = await _first_bytes(response)
            finally:
                await response.aclose()
        return response.status_code, text, self._retry_after_s(response)

    async def _answered(
        self,
        transport: httpx.AsyncHTTPTransport,
        destination: Destination,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> httpx.Response:
        """Post to the first address that lets us connect; all of them must be public."""
        addresses = await self._resolve(destination.host, destination.port)
        if not addresses:
            raise _Refused("the host's name leads to no address")
        for address in addresses:
            if refused_address(address, loopback=self._loopback) is not None:
                raise _Refused("the host's name leads to an address that is not public")
        *others, last = addresses[:ADDRESSES_TRIED]
        for address in others:
            with contextlib.suppress(httpx.ConnectError):
                return await transport.handle_async_request(
                    _request(destination, address, url, headers, body)
                )
        return await transport.handle_async_request(_request(destination, last, url, headers, body))

    @contextlib.asynccontextmanager
    async def _connections(
        self, destination: Destination
    ) -> AsyncIterator[httpx.AsyncHTTPTransport]:
        key = (destination.scheme, destination.host, destination.port)
        kept = self._hosts.pop(key, None) or _Kept(self._transport())
        self._hosts[key] = kept
        kept.busy += 1
        try:
            yield kept.transport
        finally:
            kept.busy -= 1
        await self._forget_idle()

    def _transport(self) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(keepalive_expiry=IDLE_S)
        return httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False, limits=limits)

    async def _forget_idle(self) -> None:
        idle = [key for key, kept in self._hosts.items() if not kept.busy]
        for key in idle[: max(0, len(self._hosts) - HOSTS_MAX)]:
            await self._hosts.pop(key).transport.aclose()

    def _retry_after_s(self, response: httpx.Response) -> int | None:
        """Read Retry-After: seconds, or a date."""
        text = response.headers.get("retry-after", "").strip()
        if _SECONDS.match(text):
            return int(text)
        try:
            moment = email.utils.parsedate_to_datetime(text)
        except ValueError:
            return None
        return max(0, int(moment.timestamp()) - self._clock.now_ns() // SECOND_NS)


def _request(
    destination: Destination, address: str, url: str, headers: Mapping[str, str], body: bytes
) -> httpx.Request:
    return httpx.Request(
        "POST",
        httpx.URL(url).copy_with(host=address),
        headers={**_HEADERS, **headers, "host": destination.authority},
        content=body,
        extensions={"sni_hostname": destination.host},
    )


async def _first_bytes(response: httpx.Response) -> str:
    """Read the beginning of an answer, as far as it comes soon."""
    found = b""
    with contextlib.suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(BODY_S):
            async for chunk in response.aiter_raw():
                found += chunk
                if len(found) >= SHOWN_BYTES:
                    break
    return found[:SHOWN_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd")


def _failed(began: float, error: str) -> Answer:
    return Answer(None, error[:ERROR_CHARS], _since_ms(began))


def _since_ms(began: float) -> int:
    return round((time.perf_counter() - began) * 1000)
