"""Lists of hosts as an operator writes them: names, IP addresses and networks."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

IPNetwork = IPv4Network | IPv6Network
_NAME: Final = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9._-]{0,250}[a-z0-9_])?")


def read_hosts(listed: Iterable[str]) -> tuple[frozenset[str], tuple[IPNetwork, ...]]:
    """The names, in lower case, and the networks. A name that begins with `*.` stands for all names below.

    Raises:
        ValueError: an entry is none of these.

    """
    names, networks = set[str](), list[IPNetwork]()
    for entry in listed:
        try:
            networks.append(ip_network(entry.strip("[]"), strict=False))
        except ValueError:
            name = entry.lower().rstrip(".")
            if not _NAME.fullmatch(name):
                raise ValueError("must be a list of host names, addresses and networks") from None
            names.add(name)
    return frozenset(names), tuple(networks)
