"""URLs: Groq's own, and those of the settings, which are read strictly and written in one spelling.

The latter may hold a password, so no message quotes any part of them.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

GROQ_URL: Final = "https://api.groq.com"
"""Groq's API, which is asked where GROQ_BASE_URL is not set."""
MAX_PORT: Final = 65535
MAX_PREFIX_CHARS: Final = 200
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_AUTHORITY: Final = re.compile(r"[^/?#]*")
_HOST: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._~%-]*)(?::(?P<port>[0-9]{1,5})?)?")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,30}")
_NO_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPES: Final = "in a password, write @ as %40, / as %2F, ? as %3F, # as %23, % as %25"


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of a URL. `account` is what stands before the host, as `user:password@`, escaped; or it is empty.

    `hosts` are at least one, each with its port, or None. `path` and `query` are not unescaped.
    """

    scheme: str
    account: str
    hosts: tuple[tuple[str, int | None], ...]
    path: str
    query: str

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """The query's names and values, unescaped, in their order."""
        pairs = (pair.partition("=") for pair in self.query.split("&") if pair)
        return [(unquote(name), unquote(value)) for name, _, value in pairs]

    def __str__(self) -> str:
        hosts = ",".join(host if port is None else f"{host}:{port}" for host, port in self.hosts)
        return f"{self.scheme}://{self.account}{hosts}{self.path}{f'?{self.query}' if self.query else ''}"


def read_url(text: str, schemes: Collection[str]) -> Url:
    """The parts of a URL, with what is in the password escaped if it has to be.

    An `@` in a password is taken as meant. Where a password's `/`, `?` or `#` would be taken for the end of the host,
    the URL is refused, since a part of the password would be looked up as a host, and logged.

    Raises:
        ValueError: it is none with such a scheme. The message quotes nothing.

    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in schemes:
        raise ValueError(f"must start with {' or '.join(f'{name}://' for name in schemes)}")
    if not rest.isprintable() or " " in rest:
        raise ValueError(f"has a space or a line end; {_ESCAPES}")
    authority = _AUTHORITY.match(rest)
    before = authority.group() if authority else ""
    after = rest[len(before) :]
    if "@" in after or "#" in after:
        raise ValueError(f"has an @ or a # after its host: {_ESCAPES}")
    account, at, hosts = before.rpartition("@")
    path, _, query = after.partition("?")
    return Url(scheme, f"{escaped_account(account)}{at}", tuple(_host(host) for host in hosts.split(",")), path, query)


def escaped_account(account: str) -> str:
    """A user and a password, escaped. A `%` that begins no escape stands for itself."""
    user, colon, password = account.partition(":")
    return f"{_escaped(user)}{colon}{_escaped(password)}"


def unknown_parameter(name: str, why: str) -> ValueError:
    """The error about a parameter. A name that may be a part of a password is not quoted."""
    if _PLAIN_NAME.fullmatch(name):
        return ValueError(f"has the parameter {name!r}, which {why}")
    return ValueError(f"has a parameter that {why}")


def has_broken_escape(text: str) -> bool:
    """Whether there is a `%` that begins no escape."""
    return _NO_ESCAPE.search(text) is not None


def _escaped(text: str) -> str:
    return quote(unquote(_NO_ESCAPE.sub("%25", text)), safe="~!$&'()*+,;=")


def _host(text: str) -> tuple[str, int | None]:
    match = _HOST.fullmatch(text)
    if match is None or int(match["port"] or 1) not in range(1, MAX_PORT + 1):
        raise ValueError(f"has a host or a port that is none; {_ESCAPES}")
    return match["host"], int(match["port"]) if match["port"] else None


def read_prefix(text: str) -> str:
    """What the paths of a service begin with, such as `/ai`: without a slash at its end, "" for none.

    Raises:
        ValueError: this is none. Only characters are taken that need no escapes in a path, in a header and in HTML.

    """
    prefix = text.strip().rstrip("/")
    is_path = len(prefix) <= MAX_PREFIX_CHARS and _PREFIX.fullmatch(prefix)
    if prefix and not (is_path and {".", ".."}.isdisjoint(prefix.split("/"))):
        raise ValueError("must be a path such as /ai, of letters, digits, `.`, `_`, `~`, `-` and `/`")
    return prefix
