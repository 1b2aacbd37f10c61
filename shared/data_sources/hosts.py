"""Where a data source may be. A host is looked up once, each of its addresses is checked, and the connection goes to those.

Otherwise a user could have this product connect to servers of its own network (server-side request forgery), or have a name
point to a good address while it is checked, and to another one afterwards (DNS rebinding).
"""

import asyncio
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, Literal, Self

from shared.data_sources.urls import SourceUrl
from shared.errors import DataSourceUnreachable, DataSourceUrlInvalid, HostNotAllowed
from shared.host_lists import IPNetwork, read_hosts

IPAddress = IPv4Address | IPv6Address

LOOK_UP_SECONDS: Final = 5.0
MAX_ADDRESSES: Final = 4
STRICT_SSL_MODES: Final = ("require", "verify-ca", "verify-full")

# What Python's `is_global` does not know, or knows only since some version.
NEVER_PUBLIC: Final = tuple(
    ip_network(text)
    for text in (
        "100.64.0.0/10",  # shared by a carrier's customers (RFC 6598)
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "198.18.0.0/15",  # benchmarks (RFC 2544)
        "168.63.129.16/32",  # Azure's host
        "fd00:ec2::/32",  # metadata of Amazon's machines
        "fec0::/10",  # site-local, deprecated (RFC 3879)
        "2001::/32",  # Teredo: holds an IPv4 address
        "3fff::/20",  # documentation (RFC 9637)
        "64:ff9b:1::/48",  # translation to IPv4 within a network (RFC 8215)
    )
)
EMBEDDED_IPV4: Final = (
    (ip_network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052)
    (ip_network("2002::/16"), 80),  # 6to4 (RFC 3056)
    (ip_network("::/96"), 0),  # IPv4-compatible, deprecated (RFC 4291)
)
"""Networks of IPv6 whose addresses lead to an IPv4 address, and by how many bits that one stands above the end."""


@dataclass(frozen=True, slots=True)
class Address:
    """A data source's address whose host was looked up and checked. `ips` are at least one, in the order to be tried.

    `ssl_mode` is libpq's. The password is in no representation of this.
    """

    host: str
    ips: tuple[str, ...]
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    ssl_mode: str
    channel_binding: str | None = None
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class HostRules:
    """Which hosts may hold data sources: all public ones, and what the operator lists.

    `names` are host names in lower case; one that begins with `*.` stands for all names below. `own` are the hosts and ports of
    this product's own servers, which are refused unless they are listed.
    """

    names: frozenset[str] = frozenset()
    networks: tuple[IPNetwork, ...] = ()
    own: tuple[tuple[str, int], ...] = ()

    @classmethod
    def read(cls, listed: Iterable[str], own: Collection[tuple[str, int]] = ()) -> Self:
        """The rules of a list of names, addresses and networks.

        Raises:
            ValueError: an entry is none of these.

        """
        names, networks = read_hosts(listed)
        return cls(names, networks, tuple(own))

    def lists_name(self, host: str) -> bool:
        """Whether the operator lists a host's name."""
        host = host.lower().rstrip(".")
        parts = host.split(".")
        return host in self.names or any(f"*.{'.'.join(parts[i:])}" in self.names for i in range(1, len(parts)))

    def lists_ip(self, ip: IPAddress) -> bool:
        """Whether the operator lists an IP address, alone or in a network."""
        return any(ip.version == network.version and ip in network for network in self.networks)


async def check_host(url: SourceUrl, rules: HostRules, *, name: str = "url") -> Address:
    """Look the host up and check each of its addresses. `name` is the field that holds the URL.

    Raises:
        HostNotAllowed: one of the host's addresses is not public, or is this product's own server. Nobody learns which.
        DataSourceUrlInvalid: the URL asks for less than TLS outside this machine.
        DataSourceUnreachable: the host can't be looked up.

    """
    ips = await _look_up(url.host, url.port)
    if not rules.lists_name(url.host):
        own = await _own_ips(rules)
        for ip in ips:
            if not rules.lists_ip(ip) and (not is_public(ip) or (ip, url.port) in own):
                raise HostNotAllowed(
                    f"{name}: a data source may not be at this host; the operator may list it in DATA_SOURCE_HOSTS",
                    field=name,
                )
    return _pin(url, ips, _ssl_mode(url, ips, name))


async def own_address(url: SourceUrl) -> Address:
    """The address of a server that the operator has named, which needs no check.

    Raises:
        DataSourceUnreachable: the host can't be looked up.

    """
    return _pin(url, await _look_up(url.host, url.port), url.ssl_mode or "prefer")


def _pin(url: SourceUrl, ips: tuple[IPAddress, ...], ssl_mode: str) -> Address:
    return Address(
        host=url.host,
        ips=tuple(map(str, ips[:MAX_ADDRESSES])),
        port=url.port,
        database=url.database,
        user=url.user,
        password=url.password,
        ssl_mode=ssl_mode,
        channel_binding=url.channel_binding,
        schema=url.schema,
    )


def _ssl_mode(url: SourceUrl, ips: tuple[IPAddress, ...], name: str) -> str:
    if all(_inner(ip).is_loopback for ip in ips):
        return url.ssl_mode or "prefer"
    if url.ssl_mode is None:
        return "require"
    if url.ssl_mode not in STRICT_SSL_MODES:
        raise DataSourceUrlInvalid(f"{name}: sslmode must be one of {', '.join(STRICT_SSL_MODES)}", field=name)
    return url.ssl_mode


def is_public(ip: IPAddress) -> bool:
    """Whether an address is one of the Internet's, and neither leads to another kind nor stands for a group of hosts."""
    inner = _inner(ip)
    if isinstance(inner, IPv6Address) and inner.scope_id:
        return False
    return (
        inner.is_global
        and not (inner.is_multicast or inner.is_reserved or inner.is_unspecified or inner.is_loopback)
        and not any(one.version == net.version and one in net for one in (ip, inner) for net in NEVER_PUBLIC)
    )


def _inner(ip: IPAddress) -> IPAddress:
    """The IPv4 address to which an IPv6 address leads; otherwise the address itself."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    for network, shift in EMBEDDED_IPV4:
        if ip in network and int(ip) > 1:  # `::` and `::1` are addresses of their own
            return IPv4Address((int(ip) >> shift) & 0xFFFFFFFF)
    return ip


async def _look_up(host: str, port: int) -> tuple[IPAddress, ...]:
    try:
        async with asyncio.timeout(LOOK_UP_SECONDS):
            found = await _getaddrinfo(host, port)
    except (OSError, UnicodeError, TimeoutError):
        raise DataSourceUnreachable("The data source's host can't be looked up.") from None
    # In the resolver's order, each once.
    return tuple(dict.fromkeys(ip_address(info[4][0]) for info in found))


async def _getaddrinfo(host: str, port: int) -> list[tuple[object, object, object, object, tuple[str, int]]]:
    loop = asyncio.get_running_loop()
    kind: Literal[socket.SocketKind.SOCK_STREAM] = socket.SOCK_STREAM
    return await loop.getaddrinfo(host, port, type=kind, proto=socket.IPPROTO_TCP)  # type: ignore[return-value]


async def _own_ips(rules: HostRules) -> set[tuple[IPAddress, int]]:
    found = set[tuple[IPAddress, int]]()
    for host, port in rules.own:
        found.update((ip, port) for ip in await _look_up(host, port))
    return found
