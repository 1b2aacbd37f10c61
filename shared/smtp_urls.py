"""URLs of mail servers, and the sender of mails. The URLs hold passwords, so no message quotes any part of them."""

from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.policy import SMTP
from typing import Final, Literal
from urllib.parse import unquote

from shared.urls import read_url, unknown_parameter

Tls = Literal["implicit", "starttls", "none"]
"""TLS from the first byte (RFC 8314), from STARTTLS on (RFC 3207), or never."""
PORTS: Final[dict[Tls, int]] = {"implicit": 465, "starttls": 587, "none": 25}


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A mail server. `user` and `password` are both there, or both None."""

    host: str
    port: int
    tls: Tls
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def read_smtp_url(text: str) -> SmtpServer:
    """`smtps://user:password@host:465` with TLS, `smtp://…:587` with STARTTLS, `smtp://host:25?tls=none` without.

    A server that is to speak STARTTLS and does not is not used.

    Raises:
        ValueError: it is no such URL, or a password would go without TLS to another machine.

    """
    url = read_url(text, ("smtp", "smtps"))
    tls: Tls = "implicit" if url.scheme == "smtps" else "starttls"
    for name, value in url.parameters:
        if name != "tls":
            raise unknown_parameter(name, "is not known")
        if value != "none" or url.scheme == "smtps":
            raise ValueError("can have tls=none alone, and with smtp:// alone")
        tls = "none"
    if url.path.strip("/") or len(url.hosts) > 1 or not url.hosts[0][0]:
        raise ValueError("must be an address such as smtps://user:password@smtp.example.com:465")
    user, _, password = url.account.removesuffix("@").partition(":")
    if bool(user) != bool(password):
        raise ValueError("must have a user and a password, or neither")
    if password and tls == "none":
        raise ValueError("has a password, which must not be sent without TLS")
    host, port = url.hosts[0]
    credentials = (unquote(user), unquote(password)) if user else (None, None)
    return SmtpServer(host.strip("[]"), port or PORTS[tls], tls, *credentials)


def read_sender(text: str) -> str:
    """The sender of mails, as `CortexAI <no-reply@example.com>` or the address alone.

    Raises:
        ValueError: it is no address of ASCII characters.

    """
    sender = _sender(text) if text.isprintable() else None
    if sender is None or not (sender.username and sender.domain and sender.addr_spec.isascii()):
        raise ValueError("must be a sender such as CortexAI <no-reply@example.com>")
    return str(sender)


def _sender(text: str) -> Address | None:
    """The one address of a header; None where there is none, or more, or the header is broken."""
    try:
        header = SMTP.header_factory("From", text)
    except (ValueError, IndexError, HeaderParseError):  # what the standard library raises for half an address
        return None
    found: tuple[Address, ...] = header.addresses
    return found[0] if len(found) == 1 and not header.defects else None
