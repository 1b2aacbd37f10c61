"""kill -9 of the worker that sends a mail: the mail is sent all the same, and ordinarily once."""

from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import httpx
import pytest

from tests.conftest import NewSystem
from tests.doubles.smtp import MailServer, run_mail_server
from tests.support.clients import PASSWORD
from tests.support.system import System, eventually

QUEUES = "summaries,maintenance"
PAGE = "https://chat.example.com"


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with run_mail_server() as running:
        yield running


@pytest.fixture
def make(new_system: NewSystem, server: MailServer) -> Callable[[], System]:
    """Makes a system that sends mails to the server."""

    def made() -> System:
        return new_system(
            MAIL_FROM="no-reply@example.com",
            PUBLIC_URL=PAGE,
            SMTP_URL=server.url,
            SMTP_TIMEOUT_SECONDS="30",
            LEASE_SECONDS="3",
            SWEEP_INTERVAL_SECONDS="0.2",
        )

    return made


async def sign_up(url: str) -> str:
    """Make an account. Returns its address."""
    email = f"{uuid4().hex}@example.com"
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        body = {"email": email, "password": PASSWORD}
        (await http.post("/api/auth/signup", json=body)).raise_for_status()
    return email


async def verify(url: str, email: str, token: str) -> int:
    """Log in and open a link. Returns the answer's status."""
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        login = (await http.post("/api/auth/login", json={"email": email, "password": PASSWORD})).raise_for_status()
        by_token = {"Authorization": f"Bearer {login.json()['access_token']}"}
        return (await http.post("/api/auth/verify-email", json={"token": token}, headers=by_token)).status_code


def end_leases(system: System) -> None:
    """Have the try of the dead worker be over, instead of waiting for that."""
    ago = "due_at = now() - interval '1 minute', queued_at = now() - interval '1 minute'"
    system.ask(f"UPDATE account_mails SET {ago}")  # noqa: S608 - words of ours


@pytest.mark.parametrize("was_taken", [False, True])
async def test_a_mail_whose_worker_is_killed_while_it_sends_is_sent_by_another(
    make: Callable[[], System], server: MailServer, *, was_taken: bool
) -> None:
    """Where the server had taken the mail, the mail comes twice, under one name, and either link is good."""
    system = make()
    gate = server.may_reply if was_taken else server.may_take
    gate.clear()
    worker = await system.start_worker(QUEUES)
    _, url = await system.start_api()
    email = await sign_up(url)
    await server.recipients(1)
    if was_taken:
        await server.mail(email)
    system.kill(worker)
    assert system.count("account_mails") == 1
    gate.set()
    server.may_take.clear()  # what the dead worker has begun to send is no mail
    end_leases(system)
    other = await system.start_worker(QUEUES)
    await server.recipients(2)
    server.may_take.set()
    mails = await server.mails(email, 2 if was_taken else 1)
    await eventually(lambda: system.count("account_mails") == 0)
    assert len({mail.message["Message-ID"] for mail in mails}) == 1
    assert await verify(url, email, mails[0].token) == 204
    for process in (worker, other, *system.running):
        words = system.words(process)
        assert email not in words
        assert not any(mail.token in words for mail in mails)
    ((user_id,),) = system.ask("SELECT id FROM users")
    assert f'"user_id": {user_id}' in system.words(other)


async def test_mails_go_on_without_redis_and_without_a_worker_as_soon_as_both_are_back(
    make: Callable[[], System], server: MailServer
) -> None:
    """A request never waits for the mail, and never fails because of the mail."""
    system = make()
    _, url = await system.start_api()
    system.valkey.stop()
    emails = [await sign_up(url) for _ in range(3)]
    assert system.count("account_mails") == 3
    system.valkey.start()
    await system.start_worker(QUEUES)
    end_leases(system)
    for email in emails:
        assert len(await server.mails(email)) == 1
    await eventually(lambda: system.count("account_mails") == 0)
