"""Addresses as operators write them."""

import pytest

from gatecast.addresses import Address
from tenants.errors import Refused


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:18000", "127.0.0.1", 18000),
        ("[::1]:0", "::1", 0),
        ("gatecast.internal:65535", "gatecast.internal", 65535),
    ],
)
def test_an_address_reads_back_as_it_was_written(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == (host, port)
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "18000", ":18000", "127.0.0.1", "127.0.0.1:", "::1:18000", "[::1]", "[a]:1", "h:-1", "h:65536", "h:٣"]
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Refused, match="is not an address"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
    ],
)
def test_only_loopback_is_loopback(host: str, loopback: bool) -> None:
    assert Address(host, 1).loopback is loopback
