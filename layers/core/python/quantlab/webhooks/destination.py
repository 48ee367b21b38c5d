"""Where outbound webhooks may go: the form of an address, and which networks are the public ones.

It must not look anything up: names are resolved outside, and every address they lead to is judged
here.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from quantlab.kernel.records import dataclass

URL_CHARS_MAX: Final = 2048

# What `ipaddress` calls global and is not, or is a service of a cloud's own network.
_RESERVED: Final = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments; metadata of a cloud among them
    IPv4Network("168.63.129.16/32"),  # the metadata and name service of a cloud
    IPv4Network("192.88.99.0/24"),  # 6to4 relays
)
# What is given out to the world, RFC 4291; all else is local, embeds IPv4 or is nobody's.
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_SPECIAL: Final = (
    IPv6Network("2001::/23"),  # protocol assignments, Teredo among them
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("2002::/16"),  # 6to4: embeds IPv4
    IPv6Network("3fff::/20"),  # documentation
)
# A name of two labels or more, RFC 1123; a last one in digits would be an IPv4 address written in
# another way (2130706433, 0x7f.1, 127.1), which resolvers read and `ipaddress` does not.
_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?\Z"
)


@dataclass(frozen=True, slots=True)
class Destination:
    """An address taken apart. authority is the Host header; target is path and query."""

    scheme: str
    host: str
    port: int
    authority: str
    target: str


def read_destination(url: str, *, loopback: bool) -> Destination | str:
    """Take an address apart, or say what is wrong with it; loopback admits http as well."""
    if len(url) > URL_CHARS_MAX or not url.isascii() or not url.isprintable() or " " in url:
        return f"expected printable ASCII of at most {URL_CHARS_MAX} characters"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "expected an address such as https://example.com/hooks"
    host = parts.hostname or ""
    refusal = _refused_parts(parts, loopback=loopback) or _refused_host(host, loopback=loopback)
    if refusal is not None:
        return refusal
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    standard = 443 if parts.scheme == "https" else 80
    return Destination(parts.scheme, host, port or standard, parts.netloc, target)


def refused_address(text: str, *, loopback: bool) -> str | None:
    """Say why an IP address may not be sent to; None when it may."""
    try:
        address = ip_address(text)
    except ValueError:
        return f"{text} is no IP address"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return None if loopback else f"{text} is this machine itself"
    public = _is_public_v4(address) if isinstance(address, IPv4Address) else _is_public_v6(address)
    return None if public else f"{text} is not an address of the public internet"


def _refused_parts(parts: SplitResult, *, loopback: bool) -> str | None:
    if parts.scheme != "https" and not (loopback and parts.scheme == "http"):
        return "expected an address that begins with https://"
    if not parts.hostname or parts.username is not None or parts.password is not None:
        return "expected a host name without user and password"
    if parts.fragment or parts.port == 0:
        return "expected no fragment, and a port from 1 to 65535"
    return None


def _refused_host(host: str, *, loopback: bool) -> str | None:
    if host == "localhost" or host.endswith(".localhost"):
        return None if loopback else "expected a host of the public internet"
    try:
        ip_address(host)
    except ValueError:
        return None if _NAME.match(host) else "expected a host of the public internet by its name"
    return refused_address(host, loopback=loopback)


def _is_public_v4(address: IPv4Address) -> bool:
    if not address.is_global or address.is_multicast:
        return False
    return not any(address in network for network in _RESERVED)


def _is_public_v6(address: IPv6Address) -> bool:
    if address not in _GLOBAL_UNICAST or address.scope_id is not None:
        return False
    return not any(address in network for network in _SPECIAL)
