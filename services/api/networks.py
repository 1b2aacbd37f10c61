"""From where a client comes, as the limits against floods count it."""

from ipaddress import IPv6Network, ip_address, ip_network
from typing import Final

from starlette.requests import HTTPConnection

IPV6_PREFIX: Final = 64
"""Bits. A provider gives each customer a network of this size at least, so one person may have all of its addresses.

Source: RFC 6177.
"""
WIDE_IPV4_PREFIX: Final = 24
WIDE_IPV6_PREFIX: Final = 48
"""Bits. Tunnels and providers give away networks of this size for nothing, each with 65,536 of the smaller ones."""
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


def network_of_client(connection: HTTPConnection) -> str:
    """The network that a request comes from."""
    return network_of(connection.client.host if connection.client else None)


def wide_network_of(network: str) -> str:
    """The network around one of `network_of`: the /24 of an IPv4 address, the /48 of IPv6. Any other text stands for itself."""
    try:
        found = ip_network(network)
    except ValueError:
        return network
    return str(found.supernet(new_prefix=WIDE_IPV4_PREFIX if found.version == 4 else WIDE_IPV6_PREFIX))  # noqa: PLR2004
