"""The address of a data source as a user writes it, read strictly: nothing in it reaches PostgreSQL's client unseen."""

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote

from shared.database_urls import PASSED_OVER, SCHEMA, SSL, SSL_MODES
from shared.errors import DataSourceUrlInvalid
from shared.urls import has_broken_escape, read_url, unknown_parameter

MAX_URL_CHARS: Final = 2000
MAX_NAME_BYTES: Final = 63
"""PostgreSQL cuts longer names of users and databases off."""
DEFAULT_PORT: Final = 5432
SCHEMES: Final = frozenset({"postgres", "postgresql"})
_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\]")
_CHANNEL_BINDINGS: Final = frozenset({"disable", "prefer", "require"})


@dataclass(frozen=True, slots=True)
class SourceUrl:
    """The parts of an address, unescaped. `host` is a name or an IP address, without brackets.

    `ssl_mode` is None where the address says nothing about TLS. `schema` is where names without a schema are looked up, None for
    the role's own search path.
    """

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    ssl_mode: str | None = None
    channel_binding: str | None = None
    schema: str | None = None

    @property
    def text(self) -> str:
        """The address in one spelling, with the password. `read_source_url` reads it as the same parts."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        named = {"sslmode": self.ssl_mode, "channel_binding": self.channel_binding, "schema": self.schema}
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in named.items() if value)
        account = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        database = quote(self.database, safe="")
        return f"postgresql://{account}@{host}:{self.port}/{database}{f'?{query}' if query else ''}"


def read_source_url(text: str, *, name: str = "url") -> SourceUrl:
    """Read `postgresql://user:password@host:port/database?sslmode=…`. `name` is the field that holds the text.

    Raises:
        DataSourceUrlInvalid: the text is no such address, or has a parameter that is not allowed here. The message quotes no
            part of the text but a parameter's plain name.

    """
    try:
        return _read(text)
    except ValueError as error:
        raise DataSourceUrlInvalid(f"{name}: {error}", field=name) from None


def _read(text: str) -> SourceUrl:
    text = text.strip()
    if len(text) > MAX_URL_CHARS:
        raise ValueError(f"must have at most {MAX_URL_CHARS} characters")
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.partition("+")[0] not in SCHEMES:
        raise ValueError("must start with postgresql://")
    url = read_url(f"postgresql://{rest}", {"postgresql"})
    if has_broken_escape(rest.rpartition("@")[2]):
        raise ValueError("has a % that begins no escape; write % as %25")
    if len(url.hosts) > 1:
        raise ValueError("must name one host")
    host, port = url.hosts[0]
    if not _HOST.fullmatch(host):
        raise ValueError("must name a host: a name or an IP address")
    user, _, password = url.account.removesuffix("@").partition(":")
    return SourceUrl(
        host=host.strip("[]").lower(),
        port=port or DEFAULT_PORT,
        database=_name(url.path.removeprefix("/"), "a database, as in postgresql://user:password@host/database"),
        user=_name(user, "a user"),
        # Without one, PostgreSQL's client would look for a password in this machine's files and environment.
        password=_printable(unquote(password), "a password"),
        **_parameters(url.parameters),
    )


def _name(text: str, what: str) -> str:
    name = _printable(unquote(text, errors="strict"), what)
    if len(name.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"has a name of more than {MAX_NAME_BYTES} bytes")
    return name


def _printable(text: str, what: str) -> str:
    if not text:
        raise ValueError(f"must name {what}")
    if not text.isprintable():
        raise ValueError("has a character that can't be printed")
    return text


def _parameters(given: list[tuple[str, str]]) -> dict[str, str]:
    """The parameters that are allowed, by the names of SourceUrl's fields."""
    found: dict[str, str] = {}
    for name, value in given:
        if name in PASSED_OVER:
            continue
        if name in {"ssl", "sslmode"}:
            field_name, read = "ssl_mode", SSL.get(value.lower(), value)
            is_usable = read in SSL_MODES
        elif name == "channel_binding":
            field_name, read = name, value
            is_usable = read in _CHANNEL_BINDINGS
        elif name in {"schema", "currentSchema"}:
            field_name, read = "schema", value
            is_usable = SCHEMA.fullmatch(read) is not None
        else:
            raise unknown_parameter(name, "is not allowed in a data source's address")
        if not is_usable:
            raise ValueError(f"has a value of {name} that can't be used")
        if found.setdefault(field_name, read) != read:
            raise ValueError(f"has two values of the parameter {name}")
    return found
