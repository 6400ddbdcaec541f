"""Where a client comes from: the address as it is told, and what limits count it as."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

ONE_SITE: Final = 64
"""Bits of an IPv6 address that one line is given: whoever has it chooses the other half as often as they like."""


def parsed(address: str) -> IPv4Address | IPv6Address:
    """The address; one of IPv4 that a socket for both tells as `::ffff:10.0.0.1` is of IPv4. Raises `ValueError`."""
    found = ip_address(address)
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def told(address: str) -> str:
    """The address as it is shown and kept; what is none stays as it is."""
    try:
        return str(parsed(address))
    except ValueError:
        return address


def counted_as(address: str | None) -> str:
    """What limits count an address as: one of IPv6 as the network of its line."""
    if address is None:
        return "unknown"
    try:
        found = parsed(address)
    except ValueError:
        return address
    return (
        str(IPv6Network((int(found), ONE_SITE), strict=False))
        if isinstance(found, IPv6Address)
        else str(found)
    )
