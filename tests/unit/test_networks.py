import pytest

from services.api.networks import UNKNOWN, network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_an_address_of_ipv4_or_a_64_of_ipv6_counts_as_one_client(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize("address", [None, "", "testclient", "203.0.113", "203.0.113.7:80"])
def test_clients_without_an_address_count_as_one(address: str | None) -> None:
    assert network_of(address) == UNKNOWN
