"""The mailer, at real mail servers that take, refuse, put off, hang, and speak TLS or do not."""

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from services.worker.mail.port import Mail
from services.worker.mail.smtp import SmtpMailer
from shared.errors import MailDeferred, MailRefused
from shared.smtp_urls import read_smtp_url
from tests.doubles.smtp import PASSWORD, USER, MailServer, certificate, run_mail_server, run_silent_server

SENDER = "CortexAI <no-reply@example.com>"
LINK = f"https://chat.example.com/#/verify?token={'x' * 43}"


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    """A mail server without TLS."""
    async with run_mail_server() as running:
        yield running


def mail(address: str = "ada@example.com") -> Mail:
    return Mail(7, "verify_email", 1, address, LINK, 86_400, datetime(2026, 5, 4, 10, 0, tzinfo=UTC))


def mailer(url: str, *, timeout: float = 10, believed: Path | None = None) -> SmtpMailer:
    tls = ssl.create_default_context(cafile=believed) if believed else None
    return SmtpMailer(read_smtp_url(url), sender=SENDER, timeout=timeout, tls=tls)


async def test_a_mail_says_who_sends_it_to_whom_and_how_long_its_link_is_good(server: MailServer) -> None:
    await mailer(server.url).send(mail())
    taken = await server.mail("ada@example.com")
    headers = {name: str(taken.message[name]) for name in ("From", "To", "Subject", "Message-ID", "Auto-Submitted")}
    assert headers == {
        "From": SENDER,
        "To": "ada@example.com",
        "Subject": "Confirm your e-mail address - CortexAI",
        "Message-ID": "<account-mail-7@example.com>",
        "Auto-Submitted": "auto-generated",
    }
    assert (taken.link, taken.message["Content-Transfer-Encoding"]) == (LINK, "7bit")
    assert "24 hours" in taken.text


async def test_each_try_has_the_same_name_by_which_servers_see_a_mail_that_comes_twice(server: MailServer) -> None:
    for _ in range(2):
        await mailer(server.url).send(mail())
    first, second = await server.mails("ada@example.com", 2)
    assert first.message["Message-ID"] == second.message["Message-ID"]


@pytest.mark.parametrize("implicit", [True, False])
async def test_with_tls_a_password_is_sent_and_the_mail_is_encrypted(tmp_path: Path, *, implicit: bool) -> None:
    tls, believed = certificate(tmp_path)
    async with run_mail_server(tls=tls, implicit=implicit, logs_in=True) as server:
        scheme = "smtps" if implicit else "smtp"
        url = f"{scheme}://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}"
        await mailer(url, believed=believed).send(mail())
        taken = await server.mail("ada@example.com")
    assert (taken.was_encrypted, taken.user) == (True, USER)


async def test_a_server_without_starttls_gets_no_mail_and_no_password(server: MailServer) -> None:
    with pytest.raises(MailDeferred):
        await mailer(f"smtp://{USER}:secret@127.0.0.1:{server.port}").send(mail())
    assert (server.taken, server.asked) == ([], 0)


@pytest.mark.parametrize("implicit", [True, False])
async def test_a_server_whose_certificate_nobody_believes_gets_no_mail(tmp_path: Path, *, implicit: bool) -> None:
    tls, _ = certificate(tmp_path)
    async with run_mail_server(tls=tls, implicit=implicit) as server:
        with pytest.raises(MailDeferred):
            await mailer(f"{'smtps' if implicit else 'smtp'}://127.0.0.1:{server.port}").send(mail())
        assert (server.taken, server.asked) == ([], 0)


async def test_a_wrong_password_is_the_operators_to_mend_so_the_mail_waits(tmp_path: Path) -> None:
    tls, believed = certificate(tmp_path)
    async with run_mail_server(tls=tls, implicit=True, logs_in=True) as server:
        with pytest.raises(MailDeferred) as caught:
            await mailer(f"smtps://{USER}:wrong@127.0.0.1:{server.port}", believed=believed).send(mail())
    assert caught.value.reply == 535


async def test_an_address_that_the_server_refuses_for_ever_is_given_up(server: MailServer) -> None:
    server.refusals = ["550 5.1.1 no such user"]
    with pytest.raises(MailRefused) as caught:
        await mailer(server.url).send(mail())
    assert (caught.value.reply, server.taken) == (550, [])


async def test_an_address_that_the_server_puts_off_is_tried_again(server: MailServer) -> None:
    server.refusals = ["451 4.7.1 greylisted, come back later"]
    with pytest.raises(MailDeferred) as caught:
        await mailer(server.url).send(mail())
    assert caught.value.reply == 451
    await mailer(server.url).send(mail())
    assert len(await server.mails("ada@example.com")) == 1


async def test_a_server_that_says_nothing_holds_nobody_for_longer_than_the_timeout() -> None:
    async with run_silent_server() as (port, came):
        with pytest.raises(MailDeferred):
            await mailer(f"smtp://127.0.0.1:{port}?tls=none", timeout=0.2).send(mail())
        assert came() == 1


async def test_a_server_that_is_not_there_is_tried_again() -> None:
    with pytest.raises(MailDeferred):
        await mailer("smtp://127.0.0.1:1?tls=none").send(mail())


@pytest.mark.parametrize(
    ("address", "to"),
    [
        ("ada@bücher.example.com", "ada@xn--bcher-kva.example.com"),
        ("ada@straße.example.com", "ada@xn--strae-oqa.example.com"),
    ],
)
async def test_a_domain_is_written_as_mail_servers_look_for_it(server: MailServer, address: str, to: str) -> None:
    await mailer(server.url).send(mail(address))
    assert (await server.mail(to)).message["To"] == to


async def test_no_mail_goes_to_what_is_no_address(server: MailServer) -> None:
    for address in ("ada", "ada@", "ada@exa mple.com", "ada@example.com\r\nBcc: eve@example.com"):
        with pytest.raises(MailRefused):
            await mailer(server.url).send(mail(address))
    assert server.asked == 0
