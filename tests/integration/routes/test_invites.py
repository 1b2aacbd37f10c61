"""Who may make an account: anybody, who is invited, or nobody."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from services.launcher.cli import run
from services.launcher.embedded.valkey import EmbeddedValkey
from shared.accounts.invites import NewInvite, make_invite
from shared.admin_acts import OPERATOR
from shared.database.engine import open_database
from tests.conftest import settings_for
from tests.doubles.smtp import MailServer, run_mail_server
from tests.integration.conftest import serve
from tests.integration.routes.conftest import NOBODY
from tests.support.clients import NO_TLS, PASSWORD, refusal_of
from tests.support.databases import as_app
from tests.support.mails import PAGE, Deployment, deployment_with_mail
from tests.support.turns import execute

INVALID = (422, "invite_invalid")
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[MailServer]:
    """The file's mail server."""
    async with run_mail_server() as running:
        yield running


@pytest.fixture(scope="module")
async def deployed(database_url: str, valkey: EmbeddedValkey, server: MailServer) -> AsyncIterator[Deployment]:
    """A deployment that asks for an invite."""
    async with deployment_with_mail(database_url, valkey.url, server, signup_mode="invite") as running:
        yield running


@pytest.fixture
async def closed(make_database: Callable[[], str], valkey: EmbeddedValkey) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody at a deployment that takes no new accounts."""
    settings = settings_for(make_database(), valkey.url, NOBODY, signup_mode="closed")
    async with serve(settings) as url, httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=20) as opened:
        yield opened


async def invited(
    database_url: str, email: str | None, *, by_mail: bool = False, lifetime: timedelta = DAY
) -> NewInvite:
    """Make an invite, as an admin or an operator does."""
    database = open_database(as_app(database_url), pool_size=1)
    try:
        async with database.begin() as db:
            return await make_invite(db, OPERATOR, lifetime, email=email, by_mail=by_mail)
    finally:
        await database.dispose()


def new_email() -> str:
    return f"{uuid4().hex}@example.com"


async def test_nobody_makes_an_account_where_sign_up_is_closed(closed: httpx.AsyncClient) -> None:
    assert (await closed.get("/api/auth/options")).json()["signup"] == "closed"
    for more in ({}, {"invite": "x"}):
        body = {"email": new_email(), "password": PASSWORD, **more}
        assert refusal_of(await closed.post("/api/auth/signup", json=body)) == (403, "signup_closed")


async def test_without_an_invite_there_is_no_account_where_one_is_needed(deployed: Deployment) -> None:
    assert (await deployed.http.get("/api/auth/options")).json()["signup"] == "invite"
    assert refusal_of(await deployed.sign_up()) == (403, "invite_required")
    refused = await deployed.sign_up(invite="x" * 43)
    assert (refusal_of(refused), refused.json()["field"]) == (INVALID, "invite")


@pytest.mark.parametrize("bound", [True, False])
async def test_an_invite_makes_one_account(deployed: Deployment, *, bound: bool) -> None:
    email = new_email()
    made = await invited(deployed.database_url, email if bound else None)
    assert made.mail_id is None
    signed_up = await deployed.sign_up(email.upper() if bound else email, made.token)
    assert (signed_up.status_code, signed_up.json()["email_verified"]) == (201, False)
    assert refusal_of(await deployed.sign_up(invite=made.token)) == INVALID
    assert deployed.links("invite") == 0


async def test_an_invite_for_an_address_is_for_no_other(deployed: Deployment) -> None:
    email = f"i{new_email()}"
    made = await invited(deployed.database_url, email)
    for other in (new_email(), f"\u0130{email[1:]}"):  # which PostgreSQL's `lower` takes for an `i`
        assert refusal_of(await deployed.sign_up(other, made.token)) == INVALID
    assert (await deployed.sign_up(email, made.token)).status_code == 201


async def test_of_many_who_use_an_invite_at_once_one_gets_an_account(deployed: Deployment) -> None:
    made = await invited(deployed.database_url, None)
    emails = [new_email() for _ in range(8)]
    answers = await asyncio.gather(*(deployed.sign_up(email, made.token) for email in emails))
    assert sorted(answer.status_code for answer in answers) == [201, *[422] * 7]
    found = execute(deployed.database_url, "SELECT count(*) FROM users WHERE email = ANY(%s)", emails)
    assert found == [(1,)]


async def test_an_invite_stays_where_the_account_was_not_made(deployed: Deployment) -> None:
    taken, email = new_email(), new_email()
    first, second = [await invited(deployed.database_url, None) for _ in range(2)]
    assert (await deployed.sign_up(taken, first.token)).status_code == 201
    assert refusal_of(await deployed.sign_up(taken, second.token)) == (409, "email_taken")
    body = {"email": email, "password": "password1", "invite": second.token}
    assert refusal_of(await deployed.http.post("/api/auth/signup", json=body)) == (422, "password_too_common")
    assert (await deployed.sign_up(email, second.token)).status_code == 201


@pytest.mark.parametrize(("table", "column"), [("account_invites", "id"), ("account_links", "invite_id")])
async def test_an_invite_that_has_ended_is_refused_and_goes(deployed: Deployment, table: str, column: str) -> None:
    made = await invited(deployed.database_url, None)
    end = f"UPDATE {table} SET expires_at = now() WHERE {column} = %s"  # noqa: S608 - names of ours
    execute(deployed.database_url, end, made.id)
    assert refusal_of(await deployed.sign_up(invite=made.token)) == INVALID
    await deployed.outbox.sweep()
    assert execute(deployed.database_url, f"SELECT 1 FROM {table} WHERE {column} = %s", made.id) == []  # noqa: S608


async def test_an_invites_mail_says_how_long_the_invite_is_good_still(deployed: Deployment) -> None:
    email = new_email()
    await invited(deployed.database_url, email, by_mail=True, lifetime=timedelta(hours=5, minutes=1))
    await deployed.deliver()
    assert "for 5 hours" in (await deployed.server.mail(email, "invited")).text


async def test_who_comes_by_the_mailed_link_has_shown_to_read_mail_there(deployed: Deployment) -> None:
    """And who comes by the other link has not: anybody may have been given that one."""
    by_mail, by_hand = new_email(), new_email()
    for email in (by_mail, by_hand):
        shown = await invited(deployed.database_url, email, by_mail=True)
        await deployed.deliver()
        mail = await deployed.server.mail(email, "invited")
        assert mail.link.startswith(f"{PAGE}/#/sign-up?invite=")
        assert mail.token != shown.token
        signed_up = await deployed.sign_up(email, mail.token if email == by_mail else shown.token)
        assert signed_up.json()["email_verified"] is (email == by_mail)
        other = shown.token if email == by_mail else mail.token
        assert refusal_of(await deployed.sign_up(email, other)) == INVALID
    assert [address for _, address in deployed.waiting()] == [by_hand]


async def test_an_operator_invites_somebody(
    deployed: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    email = new_email()
    await deployed.deliver()
    monkeypatch.setenv("DATABASE_URL", as_app(deployed.database_url))
    monkeypatch.setenv("PUBLIC_URL", f"{PAGE}/")
    command = ["invite", email, "--data-dir", str(tmp_path)]
    assert await asyncio.to_thread(run, command) == 0
    link, about = capsys.readouterr().out.splitlines()
    assert link.startswith(f"{PAGE}/#/sign-up?invite=")
    assert about.startswith(f"for {email}, once, until ")
    assert deployed.waiting() == []
    monkeypatch.setenv("MAIL_FROM", "no-reply@example.com")
    assert await asyncio.to_thread(run, command) == 0
    assert "is mailed there too" in capsys.readouterr().out
    assert deployed.waiting() == [("invite", email)]
    noted = execute(
        deployed.database_url, "SELECT act, credential, details - 'invite' FROM admin_acts ORDER BY id DESC LIMIT 2"
    )
    assert noted == [("invite.made", "command", {"bound": True, "mailed": mailed}) for mailed in (True, False)]
    await deployed.deliver()
    assert (await deployed.sign_up(email, link.partition("=")[2])).status_code == 201
    assert await asyncio.to_thread(run, ["invite", "nobody", "--data-dir", str(tmp_path)]) == 2
    monkeypatch.delenv("MAIL_FROM")
    monkeypatch.delenv("PUBLIC_URL")
    assert await asyncio.to_thread(run, command) == 2
    assert "PUBLIC_URL: is not set" in capsys.readouterr().err
