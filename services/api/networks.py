"""From where a client comes, as the limits against floods count it."""

from ipaddress import IPv6Network, ip_address
from typing import Final

IPV6_PREFIX: Final = 64
"""Bits. A provider gives each customer a network of this size at least, so one person may have all of its addresses.

Source: RFC 6177.
"""
UNKNOWN: Final = "unknown"


def network_of(address: str | None) -> str:
    """The network that counts as one client: an IPv4 address by itself, or the /64 of an IPv6 address.

    `address` is the client's, as the server tells it (`scope["client"][0]`): the peer's, or the one that a trusted proxy
    names (FORWARDED_ALLOW_IPS). All clients without an address, such as the peers of a Unix socket, count as one.
    """
    try:
        found = ip_address((address or "").partition("%")[0])
    except ValueError:
        return UNKNOWN
    if found.version == 6:  # noqa: PLR2004
        if found.ipv4_mapped is None:
            return str(IPv6Network((found, IPV6_PREFIX), strict=False))
        found = found.ipv4_mapped
    return str(found)
