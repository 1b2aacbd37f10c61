"""Which HTTP proxy leads to an address, as the environment has it, in all the forms that are in use there.

HTTP clients read these variables each in their own way, and some refuse to be made over a form that they don't know.
"""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from shared.urls import read_url

HTTP: Final = frozenset({"http"})
_HOST: Final = re.compile(r"[a-z0-9._:%-]+")


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach an address: by the proxy of this URL, or straight where it is None.

    `passed_over` names the variables that name a proxy which can't be used, such as a SOCKS one.
    """

    proxy: str | None
    passed_over: tuple[str, ...] = ()


def find_way(url: str, schemes: Collection[str] = HTTP) -> Way:
    """The way to an address: by HTTP_PROXY or HTTPS_PROXY (which one is said by its scheme), by ALL_PROXY, or straight.

    `schemes` are the kinds of proxy that the client can use. Names in lower case win. NO_PROXY lists what is reached
    straight: hosts with all below them, addresses and networks (`10.0.0.0/8`, `::1`, `[::1]`, `::1/128`), or `*`.
    """
    proxies = getproxies()
    try:
        scheme, direct = urlsplit(url).scheme, _is_direct(urlsplit(url), proxies.get("no", ""))
    except ValueError:
        return Way(None)  # Whoever asks that address finds out that it is none.
    passed_over: list[str] = []
    for name in () if direct else (scheme, "all"):
        told = proxies.get(name, "").strip()
        proxy = told if "://" in told else f"http://{told}"
        if told and _is_usable(proxy, schemes):
            # With the password escaped, so that no client looks a part of it up as a host.
            return Way(str(read_url(proxy, schemes)), tuple(passed_over))
        if told:
            passed_over.append(f"{name.upper()}_PROXY")
    return Way(None, tuple(passed_over))


def _is_usable(proxy: str, schemes: Collection[str]) -> bool:
    try:
        parts = urlsplit(str(read_url(proxy, schemes)))
        reachable = parts.port != 0 and _HOST.fullmatch(parts.hostname or "")
    except ValueError:
        return False
    return bool(reachable) and parts.scheme in schemes and proxy.isprintable()


def _is_direct(url: SplitResult, listed: str) -> bool:
    host = url.hostname or ""
    address = _address(host)
    if address is None and proxy_bypass(f"{host}:{url.port}" if url.port else host):
        return True
    return any(_covers(entry.strip().lower(), host, address) for entry in listed.split(","))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _covers(entry: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if entry == "*":
        return True
    if address is None:
        domain = entry.removeprefix("*").removeprefix(".")
        return bool(domain) and (host == domain or host.endswith(f".{domain}"))
    # `[::1]` and `[::1]:80` are `::1`, `[fd00::]/8` is `fd00::/8`.
    inside, closed, after = entry.removeprefix("[").partition("]")
    try:
        return address in ipaddress.ip_network(
            inside + (after if closed and after.startswith("/") else ""), strict=False
        )
    except ValueError:
        return False
