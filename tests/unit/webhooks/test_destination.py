"""Where outbound webhooks may not go: every range that is ours, somebody's own or nobody's."""

import pytest

from quantlab.webhooks.destination import Destination, read_destination, refused_address

ADDRESSES = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.8.8.8 169.254.0.1
169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1
192.168.0.1 198.18.0.1 198.51.100.1 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
168.63.129.16
:: ::1 ::7f00:1 ::a00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:192.168.1.1
::ffff:0:7f00:1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1 2001:db8::1
2002:7f00:1:: 2002:a9fe:a9fe:: 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1
ff02::1 ff0e::1 2606:4700::1%eth0
"""
REFUSED = ADDRESSES.split()
PUBLIC = (
    "8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1", "2a00:1450::1",
    "::ffff:8.8.8.8",
)  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert refused_address(address, loopback=False) is not None


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_not(address: str) -> None:
    assert refused_address(address, loopback=False) is None


def test_the_switch_for_development_admits_loopback_and_nothing_else() -> None:
    admitted = {address for address in REFUSED if refused_address(address, loopback=True) is None}
    assert admitted == {"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"}


def test_what_is_no_address_is_refused() -> None:
    for text in ("", "example.com", "2130706433", "0x7f.1", "127.1", "010.0.0.1"):
        assert refused_address(text, loopback=True) is not None


def test_an_address_is_taken_apart() -> None:
    assert read_destination("https://Hooks.example.com/a/b?c=d", loopback=False) == Destination(
        "https", "hooks.example.com", 443, "Hooks.example.com", "/a/b?c=d"
    )
    assert read_destination("https://example.com:8443", loopback=False) == Destination(
        "https", "example.com", 8443, "example.com:8443", "/"
    )
    named = "https://xn--bcher-kva.hooks_1.example.xn--p1ai/"
    assert isinstance(read_destination(named, loopback=False), Destination)
    assert read_destination("https://[2606:4700::1]:8443/x", loopback=False) == Destination(
        "https", "2606:4700::1", 8443, "[2606:4700::1]:8443", "/x"
    )


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "ftp://example.com/", "http://example.com/", "https://", "https:///x",
        "https://user@example.com/", "https://user:word@example.com/", "https://example.com/#x",
        "https://example.com:0/", "https://example.com:70000/", "https://example.com:x/",
        "https://exämple.com/", "https://example.com/a b", "https://example.com/\n", "https://[::1/",
        "https://localhost/", "https://api.localhost/", "https://127.0.0.1/", "https://[::1]/",
        "https://[::ffff:127.0.0.1]/", "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.5/", "https://[fd00:ec2::254]/", "https://example.com/" + "x" * 2048,
        "file:///etc/passwd", "javascript:alert(1)", "https://2130706433/", "https://0x7f000001/",
        "https://0177.0.0.1/", "https://127.1/", "https://0x7f.1/", "https://127.0.0.1./",
        "https://localhost./", "https://api.localhost./", "https://./", "https://a..example.com/",
        "https://metadata/", "https://example.com%00.example/", "https://-a.example.com/",
        "https://" + "a" * 64 + ".example.com/", "https://" + "a." * 127 + "example/",
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_address_is_said(url: str) -> None:
    found = read_destination(url, loopback=False)
    assert isinstance(found, str)
    assert found


def test_development_may_use_http_and_this_machine() -> None:
    for url in ("http://localhost:9000/x", "http://127.0.0.1:9000/x", "https://localhost/x"):
        assert isinstance(read_destination(url, loopback=True), Destination)
    assert isinstance(read_destination("http://10.0.0.1/x", loopback=True), str)
