"""A mail server that speaks SMTP (RFC 5321): the only place that knows the client."""

import asyncio
import socket
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Final

import aiosmtplib
import idna

from services.worker.mail.port import Mail
from services.worker.mail.words import words_of
from shared.errors import MailDeferred, MailRefused
from shared.smtp_urls import SmtpServer

FOR_EVER: Final = 500
"""The replies from here on say that trying again is of no use (RFC 5321, section 4.2.1)."""


class SmtpMailer:
    """Sends each mail on a connection of its own. `timeout` bounds all of it, in seconds.

    `sender` is what MAIL_FROM says. `tls` are the certificates that are believed; None for those of the machine.
    """

    def __init__(self, server: SmtpServer, *, sender: str, timeout: float, tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._sender = sender
        self._timeout = timeout
        # Reading the machine's certificates takes 20 ms, so once.
        self._tls = tls or (ssl.create_default_context() if server.tls != "none" else None)

    async def send(self, mail: Mail) -> None:
        """Send a mail (port.py)."""
        message = self._message(mail)
        server = self._server
        try:
            async with asyncio.timeout(self._timeout):
                await aiosmtplib.send(
                    message,
                    hostname=server.host,
                    port=server.port,
                    username=server.user,
                    password=server.password,
                    use_tls=server.tls == "implicit",
                    start_tls=server.tls == "starttls",
                    tls_context=self._tls,
                    timeout=self._timeout,
                    local_hostname=socket.gethostname(),  # the default asks the network's name server, on the loop
                )
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _of_reply("recipient_refused", min(refused.code for refused in error.recipients)) from None
        except aiosmtplib.SMTPDataError as error:
            raise _of_reply("data_refused", error.code) from None
        except aiosmtplib.SMTPNotSupported:
            # The address has letters that this server can't take.
            raise MailRefused("not_supported") from None
        except aiosmtplib.SMTPResponseException as error:
            # Whoever refuses the sender or the password refuses every mail: that is the operator's to mend.
            raise MailDeferred(type(error).__name__, error.code) from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise MailDeferred(type(error).__name__) from None

    def _message(self, mail: Mail) -> EmailMessage:
        """The mail as it is sent.

        Raises:
            MailRefused: no mail goes to such an address.

        """
        subject, text = words_of(mail)
        message = EmailMessage(policy=SMTP)
        try:
            message["To"] = _deliverable(mail.address)
        except (ValueError, IndexError):  # idna's errors are ValueErrors
            raise MailRefused("address") from None
        message["From"] = self._sender
        message["Subject"] = subject
        message["Date"] = format_datetime(mail.at)
        # The same at each try, by which servers see that a mail which comes twice is one.
        domain = parseaddr(self._sender)[1].rpartition("@")[2]
        message["Message-ID"] = f"<account-mail-{mail.id}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"  # no answering machine answers (RFC 3834)
        message.set_content(text, cte="7bit")  # no line is broken, in which a link stands
        return message


def _deliverable(address: str) -> str:
    """The address with its domain as mail servers look for it (IDNA 2008)."""
    local, _, domain = address.rpartition("@")
    known = Address(username=local, domain=idna.encode(domain, uts46=True).decode())  # raises for a line end, for one
    if not local:
        raise ValueError("has no local part")
    return known.addr_spec


def _of_reply(reason: str, reply: int) -> MailRefused | MailDeferred:
    return MailRefused(reason, reply) if reply >= FOR_EVER else MailDeferred(reason, reply)
