"""A mail server, in the tests' own event loop: real SMTP over loopback, with or without TLS. It keeps what it takes."""

import asyncio
import re
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LINK = re.compile(r"https?://\S+")
USER, PASSWORD = "mailer", "p@ss/word"


@dataclass(frozen=True)
class Taken:
    """A mail that the server has taken."""

    to: str
    message: EmailMessage
    was_encrypted: bool
    user: str | None

    @property
    def text(self) -> str:
        """What it says."""
        return str(self.message.get_content())

    @property
    def link(self) -> str:
        """Its only link."""
        (link,) = LINK.findall(self.text)
        return str(link)

    @property
    def token(self) -> str:
        """What its link opens with."""
        return self.link.partition("=")[2]


@dataclass
class MailServer:
    """What the server does, and what it has taken.

    `refusals` are the replies to the next recipients, instead of taking them. While `may_take` is not set, each mail waits at
    its end, before it is taken; while `may_reply` is not set, after it was taken. `asked` counts the recipients that came.
    """

    port: int = 0
    refusals: list[str] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    asked: int = 0
    may_take: asyncio.Event = field(default_factory=asyncio.Event)
    may_reply: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        """SMTP_URL, without TLS."""
        return f"smtp://127.0.0.1:{self.port}?tls=none"

    async def mails(self, to: str, count: int = 1, *, subject: str = "", within: float = 30) -> list[Taken]:
        """Wait until so many mails to an address have been taken; whose subjects have this in them. Returns them."""

        def found() -> list[Taken]:
            return [mail for mail in self.taken if mail.to == to and subject in str(mail.message["Subject"])]

        async with asyncio.timeout(within), self.changed:
            await self.changed.wait_for(lambda: len(found()) >= count)
        return found()

    async def mail(self, to: str, subject: str = "") -> Taken:
        """Wait for the first such mail."""
        return (await self.mails(to, subject=subject))[0]

    async def recipients(self, count: int, within: float = 30) -> None:
        """Wait until so many recipients were named, taken or not."""
        async with asyncio.timeout(within), self.changed:
            await self.changed.wait_for(lambda: self.asked >= count)

    # The server's side (aiosmtpd's hooks).

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take a recipient, or refuse the recipient."""
        async with self.changed:
            self.asked += 1
            self.changed.notify_all()
        if self.refusals:
            return self.refusals.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - likewise
        """Take a mail."""
        await self.may_take.wait()
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        login: Any = session.auth_data
        user = login.decode() if session.authenticated else None
        is_encrypted = server.transport is not None and server.transport.get_extra_info("sslcontext") is not None
        async with self.changed:
            self.taken += [Taken(to, message, is_encrypted, user) for to in envelope.rcpt_tos]
            self.changed.notify_all()
        await self.may_reply.wait()
        return "250 OK"


@asynccontextmanager
async def run_mail_server(
    *, tls: ssl.SSLContext | None = None, implicit: bool = False, logs_in: bool = False
) -> AsyncIterator[MailServer]:
    """Run a mail server on a free port. With `tls` it offers STARTTLS, or, if `implicit`, speaks TLS from the first byte.

    `logs_in`: only USER with PASSWORD may send.
    """
    server = MailServer()
    server.may_take.set()
    server.may_reply.set()
    loop = asyncio.get_running_loop()

    def authenticate(_server: SMTP, session: Session, _envelope: Envelope, _mechanism: str, data: object) -> AuthResult:
        login, password = getattr(data, "login", b""), getattr(data, "password", b"")
        is_right = (login, password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=is_right, handled=False, auth_data=login)

    transports: list[asyncio.BaseTransport] = []

    class Noted(SMTP):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transports.append(transport)
            super().connection_made(transport)

    def protocol() -> SMTP:
        # It takes STARTTLS alone for TLS, and warns of passwords without.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Noted(
                server,
                loop=loop,
                hostname="mail.example.com",
                enable_SMTPUTF8=True,
                tls_context=None if implicit else tls,
                require_starttls=tls is not None and not implicit,
                auth_required=logs_in,
                auth_require_tls=not implicit,
                authenticator=authenticate,
            )

    serving = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls if implicit else None)
    server.port = serving.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        server.may_take.set()
        server.may_reply.set()
        serving.close()
        for transport in transports:  # aiosmtpd forgets those whose TLS has failed
            transport.close()


@asynccontextmanager
async def run_silent_server() -> AsyncIterator[tuple[int, Callable[[], int]]]:
    """A server that takes connections and never says a word. Yields its port, and how many connections came."""
    came = 0

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        came += 1
        await reader.read()  # until the client gives up
        writer.close()

    serving = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    try:
        yield serving.sockets[0].getsockname()[1], lambda: came
    finally:
        serving.close()


def certificate(folder: Path, host: str = "127.0.0.1") -> tuple[ssl.SSLContext, Path]:
    """A server's TLS with a certificate of its own making for this address, and the file by which a client believes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.com")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    believed, private = folder / "mail.crt", folder / "mail.key"
    believed.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(believed, private)
    return context, believed
