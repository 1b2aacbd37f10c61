"""The doctor's look at the mail server, and at the providers by which people log in."""

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from subprocess import CompletedProcess
from urllib.parse import quote

import pytest

from services.launcher import installed, login_checks
from services.launcher.checks import Finding
from services.launcher.doctor import examine
from services.launcher.login_checks import mail, providers
from tests.conftest import settings_for
from tests.doubles.oidc_control import control
from tests.doubles.process import start_oidc_double
from tests.doubles.smtp import PASSWORD, USER, certificate, run_mail_server, run_silent_server
from tests.support import oidc
from tests.unit.test_launcher_cli import cortexai

FOR_MAIL = {"MAIL_FROM": "no-reply@example.com", "PUBLIC_URL": "https://chat.example.com"}
NOBODY = "http://127.0.0.1:1"
DEAD = "postgresql://nobody:nothing@127.0.0.1:1/none"
DEAD_REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture(scope="module")
def acme() -> Iterator[str]:
    """A provider's issuer."""
    with start_oidc_double() as issuer:
        yield issuer


async def examined(folder: Path, **settings: str) -> CompletedProcess[str]:
    """What the command says. The mail server runs in this loop."""
    return await asyncio.to_thread(cortexai, folder, "doctor", PORT="0", **settings)


def said(found: CompletedProcess[str], subject: str) -> str:
    """The line about something, and what to do."""
    match = re.search(rf"^\w+ +{subject}: .*(\n +→ .*)?", found.stdout, re.MULTILINE)
    assert match is not None, found.stdout
    return re.sub(r"\s+", " ", match.group())


async def test_the_doctor_logs_in_at_the_mail_server_and_sends_nothing(tmp_path: Path) -> None:
    tls, believed = certificate(tmp_path)
    for implicit in (True, False):
        async with run_mail_server(tls=tls, implicit=implicit, logs_in=True) as server:
            scheme = "smtps" if implicit else "smtp"
            where = f"127.0.0.1:{server.port}"
            for password, code in ((PASSWORD, 0), ("hunter2", 1)):
                url = f"{scheme}://{USER}:{quote(password, safe='')}@{where}"
                found = await examined(tmp_path, SMTP_URL=url, SSL_CERT_FILE=str(believed), **FOR_MAIL)
                assert found.returncode == code, found.stdout
                right, wrong = (
                    f"ok mail: {where} answers, and takes the login",
                    f"wrong mail: {where} refuses the login (535)",
                )
                assert said(found, "mail").startswith(wrong if code else right)
                assert password not in found.stdout + found.stderr
            assert (server.asked, server.taken) == (0, [])


async def test_the_doctor_gives_no_password_to_a_server_that_it_does_not_believe(tmp_path: Path) -> None:
    tls, _ = certificate(tmp_path)
    async with run_mail_server(tls=tls, implicit=True, logs_in=True) as server:
        found = await examined(tmp_path, SMTP_URL=f"smtps://{USER}:hunter2@127.0.0.1:{server.port}", **FOR_MAIL)
    assert "has no TLS that can be believed" in said(found, "mail")
    async with run_mail_server() as server:
        found = await examined(tmp_path, SMTP_URL=f"smtp://{USER}:hunter2@127.0.0.1:{server.port}", **FOR_MAIL)
    assert "does not offer STARTTLS" in said(found, "mail")
    assert found.returncode == 1


async def test_the_doctor_finds_a_mail_server_without_a_login_and_one_that_is_away(tmp_path: Path) -> None:
    async with run_mail_server() as server:
        found = await examined(tmp_path, SMTP_URL=server.url, **FOR_MAIL)
        assert (found.returncode, said(found, "mail").endswith("answers, without a login")) == (0, True)
    found = await examined(tmp_path, SMTP_URL="smtp://127.0.0.1:1?tls=none", **FOR_MAIL)
    assert "wrong mail: 127.0.0.1:1 can't be reached: Connection refused" in said(found, "mail")
    assert said(await examined(tmp_path), "mail").startswith("note mail: off")


def examined_in(part: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: str) -> dict[str, Finding]:
    """What the doctor finds where one service is installed alone, by what it is about."""
    of_others = {"api": "aiosmtplib", "worker": "fastapi"}[part]
    monkeypatch.setattr(installed, "find_spec", lambda name: None if name == of_others else find_spec(name))
    for name, value in {"DATABASE_URL": DEAD, "REDIS_URL": DEAD_REDIS, **settings}.items():
        monkeypatch.setenv(name, value)
    return {finding.subject: finding for finding in examine(folder)}


def test_the_doctor_asks_an_api_for_nothing_that_workers_alone_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for the mail server nor for the model's key, which would be two secrets more where strangers come in."""
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    found = examined_in("api", tmp_path, monkeypatch, JWT_SECRET_KEY=token_hex(32), **FOR_MAIL)
    assert found["settings"].state == "ok"
    assert (found["mail"].state, found["cortexai up"].state) == ("note", "note")
    assert "SMTP_URL" in found["mail"].detail
    assert {each.subject for each in found.values() if each.state == "wrong"} == {"PostgreSQL", "Redis (REDIS_URL)"}


def test_the_doctor_asks_a_worker_for_the_mail_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined_in("worker", tmp_path, monkeypatch, GROQ_BASE_URL=NOBODY, **FOR_MAIL)
    assert (found["mail"].state, found["mail"].detail.startswith("SMTP_URL: is not set")) == ("wrong", True)


def test_up_starts_no_workers_that_would_find_no_mail_server(tmp_path: Path) -> None:
    found = cortexai(tmp_path, "up", PORT="0", **FOR_MAIL)
    assert found.returncode != 0
    assert "SMTP_URL: is not set, and MAIL_FROM is" in found.stdout + found.stderr


async def test_a_mail_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_checks, "ANSWER_SECONDS", 0.2)
    async with run_silent_server() as (port, came):
        settings = settings_for(
            "postgresql://unset",
            "redis://unset",
            NOBODY,
            smtp_url=f"smtp://127.0.0.1:{port}?tls=none",
            **{name.lower(): value for name, value in FOR_MAIL.items()},
        )
        found = await asyncio.to_thread(mail, settings)
        assert (found.state, came()) == ("wrong", 1)
    assert "can't be reached" in found.detail


@contextmanager
def dripping() -> Iterator[str]:
    """A provider that answers a byte at a time, so that no answer is ever late, and none is ever there. Yields its issuer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        is_over = threading.Event()

        def drip() -> None:
            listening.settimeout(20)
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not is_over.wait(0.02):
                    connection.sendall(b" ")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            is_over.set()
            thread.join()


def test_a_provider_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_checks, "WITHIN", 0.5)
    with dripping() as issuer:
        settings = settings_for(
            "postgresql://unset",
            "redis://unset",
            NOBODY,
            public_url="https://chat.example.com",
            oidc_providers=oidc.providers(acme=issuer),
        )
        (found,) = providers(settings)
    assert (found.subject, found.state) == ("provider acme", "wrong")
    assert "can't be reached" in found.detail


async def test_the_doctor_reads_the_document_of_each_provider(tmp_path: Path, acme: str) -> None:
    settings = {"OIDC_PROVIDERS": oidc.providers(acme=acme, other=NOBODY), **FOR_MAIL}
    del settings["MAIL_FROM"]
    found = await examined(tmp_path, **settings)
    assert said(found, "provider acme") == f"ok provider acme: its discovery document is at {acme}"
    assert f"wrong provider other: {NOBODY} can't be reached" in said(found, "provider other")
    assert found.returncode == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"discovery": "down"}, "answers 503"),
        ({"discovery": "huge"}, "has no discovery document"),
        ({"discovery": "page"}, "has no discovery document"),
        ({"discovery": "elsewhere"}, "a redirect, which the API does not follow"),
        ({"document": {"issuer": "https://hunter2.example"}}, "is of another issuer"),
        ({"document": {"jwks_uri": None}}, "lacks jwks_uri"),
    ],
)
async def test_what_is_wrong_with_a_provider_is_named(acme: str, fault: dict[str, object], words: str) -> None:
    settings = settings_for(
        "postgresql://unset",
        "redis://unset",
        NOBODY,
        public_url="https://chat.example.com",
        oidc_providers=oidc.providers(acme=acme),
    )
    await control(acme, **fault)
    try:
        (found,) = await asyncio.to_thread(lambda: list(providers(settings)))
    finally:
        await control(acme, reset=True)
    assert (found.subject, found.state) == ("provider acme", "wrong")
    assert words in found.detail
    assert "hunter2" not in found.detail + found.remedy
