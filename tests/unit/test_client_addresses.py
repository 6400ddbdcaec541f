"""What an address is told as, and what limits count it as."""

from __future__ import annotations

import pytest

from backend.client_addresses import counted_as, told


@pytest.mark.parametrize(
    ("address", "as_told", "as_counted"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::1%eth0", "fe80::/64"),
        ("a name", "a name", "a name"),
    ],
)
def test_an_address_of_ipv6_counts_as_the_network_of_its_line(
    address: str, as_told: str, as_counted: str
) -> None:
    assert (told(address), counted_as(address)) == (as_told, as_counted)


def test_whoever_has_no_address_is_counted_all_the_same() -> None:
    assert counted_as(None) == "unknown"
