"""Which addresses may be asked: a table, and names with several."""

import pytest

from tenants.errors import Refused
from tenants.keysets.guard import allowed, refusal

PUBLIC = ["8.8.8.8", "2001:4860:4860::8888", "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8"]
PRIVATE = ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12:3456::1", "64:ff9b::a00:1"]
LOCAL = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1"]
LOCAL += ["64:ff9b:1::7f00:1", "::ffff:0:127.0.0.1"]
LOCAL += ["169.254.1.1", "fe80::1", "fe80::1%eth0", "::ffff:169.254.1.1"]
NEVER = ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "100.100.100.200", "168.63.129.16"]
NEVER += ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"]
NEVER += ["fd00:ec2::254", "0.0.0.0", "::", "::ffff:0.0.0.0", "0.1.2.3", "224.0.0.1", "ff02::1", "255.255.255.255"]
NEVER += ["240.0.0.1", "64:ff9b:1::a9fe:a9fe", "64:ff9b:1:fffe::a9fe:a9fe", "::ffff:0:169.254.169.254"]


@pytest.mark.parametrize("address", PUBLIC + PRIVATE)
def test_public_and_private_addresses_may_be_asked(address: str) -> None:
    assert refusal(address, local=False) == ""


@pytest.mark.parametrize("address", LOCAL)
def test_loopback_and_link_local_may_be_asked_only_where_the_gateway_allows_it(address: str) -> None:
    assert refusal(address, local=True) == ""
    assert "the gateway does not allow that" in refusal(address, local=False)


@pytest.mark.parametrize("address", NEVER)
def test_what_is_no_providers_address_is_never_asked(address: str) -> None:
    assert refusal(address, local=False).startswith(address)
    assert refusal(address, local=True).startswith(address)


def test_of_a_names_addresses_those_that_may_be_asked_are() -> None:
    assert allowed("idp.example", ["fe80::1", "10.0.0.1", "8.8.8.8"], local=False) == ("10.0.0.1", "8.8.8.8")


def test_a_name_without_an_address_that_may_be_asked_is_refused_in_words() -> None:
    with pytest.raises(Refused, match=r"^idp.example is refused: 127.0.0.1 is on loopback, and the gateway does not"):
        allowed("idp.example", ["127.0.0.1", "::1"], local=False)
    with pytest.raises(Refused, match="has no address"):
        allowed("idp.example", [], local=True)
