"""Verifying an address, setting a forgotten password anew, and what the owner of an account is told by mail."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pyotp
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import ColumnElement, Engine, event
from structlog.contextvars import get_contextvars

from services.api.accounts import mail_router, queries
from services.api.auth.new_passwords import check_new_password
from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.mail.outbox import MAX_RESET_LINKS
from shared.database.engine import Connection
from shared.generations.cancel import DeletedGenerations, delete_generations
from tests.doubles.process import start_oidc_double
from tests.doubles.smtp import MailServer, run_mail_server
from tests.support.clients import PASSWORD, refusal_of
from tests.support.mails import NEW_PASSWORD, PAGE, Deployment, deployment_with_mail
from tests.support.oidc import go, log_in_there, new_email, providers
from tests.support.signed_in import Browser
from tests.support.turns import execute, wait_for_waiters

INVALID = (422, "link_invalid")
OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
SQL = re.compile(r"^```sql\n(.*?)^```", re.DOTALL | re.MULTILINE)
ADDRESS = 2
"""Mails an hour to an address, where mails are limited."""
NETWORK = 6
"""Likewise of a network."""


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[MailServer]:
    """The file's mail server."""
    async with run_mail_server() as running:
        yield running


@pytest.fixture(scope="module")
async def deployed(database_url: str, valkey: EmbeddedValkey, server: MailServer) -> AsyncIterator[Deployment]:
    """The file's deployment."""
    keys = Fernet.generate_key().decode()
    async with deployment_with_mail(database_url, valkey.url, server, data_source_keys=keys) as running:
        yield running


@pytest.fixture(scope="module")
async def with_provider(
    make_database: Callable[[], str], valkey: EmbeddedValkey, server: MailServer
) -> AsyncIterator[Deployment]:
    """A deployment at which people log in by a provider too."""
    with start_oidc_double() as issuer:
        more = {"redis_prefix": f"{uuid4().hex}:", "oidc_providers": providers(acme=issuer)}
        async with deployment_with_mail(make_database(), valkey.url, server, **more) as running:
            yield running


@pytest.fixture(scope="module")
async def limited(
    make_database: Callable[[], str], valkey: EmbeddedValkey, server: MailServer
) -> AsyncIterator[Deployment]:
    """A deployment that limits mails."""
    limits = {"mails_per_hour": ADDRESS, "mails_per_hour_of_network": NETWORK, "redis_prefix": f"{uuid4().hex}:"}
    async with deployment_with_mail(make_database(), valkey.url, server, **limits) as running:
        yield running


async def me(browser: Browser) -> dict[str, object]:
    """The account as its owner sees it."""
    found: dict[str, object] = (await browser.get("/api/auth/me")).json()
    return found


@contextmanager
def statements() -> Iterator[list[str]]:
    """What requests ask the database. The worker of this process sweeps meanwhile."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "request_id" in get_contextvars():
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def test_a_new_account_is_mailed_a_link_that_verifies_its_address(deployed: Deployment) -> None:
    browser = await deployed.new_user()
    assert (await me(browser))["email_verified"] is False
    mail = await deployed.server.mail(browser.email)
    assert mail.link.startswith(f"{PAGE}/#/verify?token=")
    verified = await deployed.verify(browser, mail.token)
    assert (verified.status_code, verified.content) == (204, b"")
    assert (await me(browser))["email_verified"] is True
    assert refusal_of(await deployed.verify(browser, mail.token)) == INVALID


async def test_a_link_is_asked_for_again_and_each_is_good_until_one_is_used(deployed: Deployment) -> None:
    browser = await deployed.new_user()
    assert (await browser.post("/api/auth/verify-email/send")).status_code == 202
    await deployed.deliver()
    first, second = await deployed.server.mails(browser.email, 2)
    assert (await deployed.verify(browser, first.token)).status_code == 204
    assert refusal_of(await deployed.verify(browser, second.token)) == INVALID
    assert refusal_of(await browser.post("/api/auth/verify-email/send")) == (409, "email_already_verified")


async def test_another_address_has_to_be_verified_and_ends_the_links_of_the_one_before(deployed: Deployment) -> None:
    browser = await deployed.new_user(verified=True)
    before, after = browser.email, f"{uuid4().hex}@example.com"
    reset = await deployed.ask_for_reset(before)
    changed = await browser.send("PATCH", "/api/auth/me", json={"email": after})
    assert (changed.json()["email"], changed.json()["email_verified"]) == (after, False)
    assert refusal_of(await deployed.reset(reset.token)) == INVALID
    await deployed.deliver()
    told = await deployed.server.mail(before, "address was changed")
    assert after not in told.text
    link = await deployed.server.mail(after)
    assert (await deployed.verify(browser, link.token)).status_code == 204
    assert (await me(browser))["email_verified"] is True


async def test_the_same_address_again_changes_nothing(deployed: Deployment) -> None:
    browser = await deployed.new_user(verified=True)
    changed = await browser.send("PATCH", "/api/auth/me", json={"email": browser.email})
    assert changed.json()["email_verified"] is True
    assert (browser.email,) not in [(address,) for _, address in deployed.waiting()]


async def test_a_link_of_an_address_that_the_account_had_verifies_no_other_one(deployed: Deployment) -> None:
    """Also where a release before has changed the address, which knew of no links."""
    browser = await deployed.new_user()
    token = (await deployed.server.mail(browser.email)).token
    execute(
        deployed.database_url,
        "UPDATE users SET email = %s WHERE email = %s",
        *(f"{uuid4().hex}@example.com", browser.email),
    )
    assert refusal_of(await deployed.verify(browser, token)) == INVALID
    assert (await me(browser))["email_verified"] is False


async def test_a_forgotten_password_is_set_anew_by_a_link(deployed: Deployment) -> None:
    browser = await deployed.new_user()
    link = await deployed.ask_for_reset(browser.email)
    assert link.link.startswith(f"{PAGE}/#/reset?token=")
    assert "30 minutes" in link.text
    answer = await deployed.reset(link.token)
    assert (answer.status_code, answer.content) == (204, b"")
    assert not await browser.is_logged_in()
    assert (await browser.log_in(password=PASSWORD)).status_code == 401
    assert (await browser.log_in(password=NEW_PASSWORD)).status_code == 200
    assert (await me(browser))["email_verified"] is True
    version = "SELECT credentials_version FROM users WHERE email = %s"
    assert execute(deployed.database_url, version, browser.email) == [(1,)]
    await deployed.deliver()
    await deployed.server.mail(browser.email, "password was set anew")
    assert refusal_of(await deployed.reset(link.token, PASSWORD)) == INVALID


async def test_of_many_who_use_a_link_at_once_one_sets_the_password(deployed: Deployment) -> None:
    browser = await deployed.new_user()
    token = (await deployed.ask_for_reset(browser.email)).token
    passwords = [f"{NEW_PASSWORD} {number}" for number in range(8)]
    answers = await asyncio.gather(*(deployed.reset(token, password) for password in passwords))
    assert sorted(answer.status_code for answer in answers) == [204, *[422] * 7]
    (won,) = [password for password, answer in zip(passwords, answers, strict=True) if answer.status_code == 204]
    assert (await browser.log_in(password=won)).status_code == 200


async def test_the_second_factor_stays_after_a_reset(deployed: Deployment) -> None:
    browser = await deployed.new_user(verified=True)
    secret = (await browser.post("/api/auth/second-factor")).json()["secret"]
    code = {"code": pyotp.TOTP(secret).now()}
    recovery = (await browser.post("/api/auth/second-factor/confirm", json=code)).json()["recovery_codes"]
    await deployed.deliver()
    await deployed.server.mail(browser.email, "second factor was switched on")
    assert (await deployed.reset((await deployed.ask_for_reset(browser.email)).token)).status_code == 204
    assert refusal_of(await browser.log_in(password=NEW_PASSWORD)) == (401, "second_factor_required")
    assert (await browser.log_in(password=NEW_PASSWORD, code=recovery[0])).status_code == 200
    off = await browser.send("DELETE", "/api/auth/second-factor", json={"code": recovery[1]})
    assert off.status_code == 204
    await deployed.deliver()
    await deployed.server.mail(browser.email, "second factor was switched off")


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("password1", "password_too_common"),
        ("{email}", "password_is_the_email"),
        ("CortexAI-2026", "password_is_the_product"),
        ("short", "validation_failed"),
    ],
)
async def test_a_password_that_can_not_be_taken_does_not_use_the_link_up(
    deployed: Deployment, password: str, code: str
) -> None:
    browser = await deployed.new_user()
    token = (await deployed.ask_for_reset(browser.email)).token
    refused = await deployed.reset(token, password.format(email=browser.email))
    assert (refusal_of(refused), refused.json()["field"]) == ((422, code), "password")
    assert (await deployed.reset(token)).status_code == 204


async def test_a_change_of_the_password_ends_all_links_those_too_that_wait_and_is_told(deployed: Deployment) -> None:
    browser = await deployed.new_user(verified=True)
    reset = (await deployed.ask_for_reset(browser.email)).token
    assert (await deployed.post("password/forgot", email=browser.email.upper())).status_code == 202
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await browser.post("/api/auth/password", json=body)).status_code == 204
    assert ("password_changed", browser.email) in deployed.waiting()
    assert [kind for kind, address in deployed.waiting() if str(address).lower() == browser.email] == [
        "password_changed"
    ]
    await deployed.deliver()
    await deployed.server.mail(browser.email, "password was changed")
    assert refusal_of(await deployed.reset(reset)) == INVALID


async def test_a_change_of_the_password_ends_the_links_that_verify_too(deployed: Deployment) -> None:
    browser = await deployed.new_user()
    verify = (await deployed.server.mail(browser.email)).token
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await browser.post("/api/auth/password", json=body)).status_code == 204
    assert refusal_of(await deployed.verify(browser, verify)) == INVALID


async def test_nobody_verifies_an_address_but_who_is_logged_in_to_its_account(
    deployed: Deployment, http: httpx.AsyncClient
) -> None:
    """Who owns the address of somebody else's account and opens the link makes nothing of that account trusted."""
    strangers, owner = await deployed.new_user(), await deployed.new_user()
    link = await deployed.server.mail(strangers.email)
    assert refusal_of(await deployed.post("verify-email", token=link.token)) == (401, "unauthenticated")
    assert refusal_of(await deployed.verify(owner, link.token)) == INVALID
    assert (await me(strangers))["email_verified"] is False
    assert (await deployed.verify(strangers, link.token)).status_code == 204


async def test_a_reset_throws_out_who_made_the_account_with_a_strangers_address(deployed: Deployment) -> None:
    """Nobody had shown to read mail there: identities, API keys and the second factor go, and the owner gets in."""
    stranger = await deployed.new_user()
    secret = (await stranger.post("/api/auth/second-factor")).json()["secret"]
    (await stranger.post("/api/auth/second-factor/confirm", json={"code": pyotp.TOTP(secret).now()})).raise_for_status()
    made = await stranger.post("/api/auth/keys", json={"name": "mine", "scopes": ["chat"]})
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    of_user = "user_id = (SELECT id FROM users WHERE email = %s)"
    identity = (
        "INSERT INTO oidc_identities (user_id, issuer, subject) SELECT id, 'x', email FROM users WHERE email = %s"
    )
    execute(deployed.database_url, identity, stranger.email)
    assert (await deployed.http.get("/api/auth/me", headers=key)).status_code == 200
    assert (await deployed.reset((await deployed.ask_for_reset(stranger.email)).token)).status_code == 204
    assert refusal_of(await deployed.http.get("/api/auth/me", headers=key)) == (401, "key_invalid")
    for table in ("oidc_identities", "api_keys", "second_factors", "recovery_codes"):
        assert execute(deployed.database_url, f"SELECT 1 FROM {table} WHERE {of_user}", stranger.email) == []  # noqa: S608
    assert not await stranger.is_logged_in()
    owner = Browser(deployed.http)
    assert (await owner.log_in(stranger.email, password=NEW_PASSWORD)).status_code == 200


async def way_back(browser: Browser, sub: str, email: str = "", *, way: str = "login", faults: str = "") -> str:
    """The path at which the browser comes back from the provider, where it has been as this person."""
    if way == "login":
        there = await go(browser)
    else:
        there = (await browser.post(f"/api/auth/oidc/acme/{way}", json={})).json()["url"]
    return (await log_in_there(there, faults, sub=sub, email=email or new_email())).removeprefix(PAGE)


async def by_provider(
    browser: Browser, sub: str, email: str = "", *, way: str = "login", faults: str = ""
) -> httpx.Response:
    """Log in by the provider, link an identity, or prove it."""
    return await browser.get(await way_back(browser, sub, email, way=way, faults=faults))


async def test_who_waits_in_an_account_of_somebody_elses_address_has_nothing_once_its_owner_comes_by_a_provider(
    with_provider: Deployment,
) -> None:
    """The provider vouches for the address, the account's user has not. So the owner reads mail first, and has it alone then."""
    deployed = with_provider
    stranger = await deployed.new_user()
    made = await stranger.post("/api/auth/keys", json={"name": "mine", "scopes": ["chat"]})
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    assert (await by_provider(stranger, "stranger", way="link")).status_code == 303
    under_way = await way_back(stranger, "stranger-too", way="link")
    owner = Browser(deployed.http)
    assert refusal_of(await by_provider(owner, "owner", stranger.email)) == (409, "identity_not_linked")
    assert not await owner.is_logged_in()
    assert await stranger.is_logged_in()  # nothing has changed: nobody knows yet whose account this is

    assert (await deployed.reset((await deployed.ask_for_reset(stranger.email)).token)).status_code == 204
    assert (await by_provider(owner, "owner", stranger.email)).status_code == 303
    assert (await me(owner))["email"] == stranger.email
    assert len((await owner.get("/api/auth/identities")).json()) == 1

    assert not await stranger.is_logged_in()
    assert refusal_of(await stranger.get(under_way)) == (401, "session_invalid")  # a link that was under way
    assert refusal_of(await stranger.log_in()) == (401, "credentials_invalid")
    assert refusal_of(await deployed.http.get("/api/auth/me", headers=key)) == (401, "key_invalid")
    elsewhere = Browser(deployed.http)
    assert (await by_provider(elsewhere, "stranger")).status_code == 303
    assert (await me(elsewhere))["id"] != (await me(owner))["id"]
    assert len((await owner.get("/api/auth/identities")).json()) == 1


async def by_a_provider_that_tells_no_time(deployed: Deployment) -> Browser:
    """The browser of a new user, who has no password and can prove nothing."""
    browser = Browser(deployed.http)
    browser.email = new_email()
    assert (await by_provider(browser, browser.email, browser.email, faults="no_auth_time")).status_code == 303
    return browser


async def test_who_has_no_password_and_a_provider_that_tells_no_time_gets_a_password_by_a_link(
    with_provider: Deployment,
) -> None:
    browser = await by_a_provider_that_tells_no_time(with_provider)
    proof = await by_provider(browser, browser.email, browser.email, way="reauthenticate", faults="no_auth_time")
    assert refusal_of(proof) == (403, "identity_not_fresh")
    assert refusal_of(await browser.send("DELETE", "/api/auth/me")) == (403, "reauthentication_required")
    link = await with_provider.ask_for_reset(browser.email)
    assert (await with_provider.reset(link.token)).status_code == 204
    assert not await browser.is_logged_in()
    assert refusal_of(await with_provider.reset(link.token)) == INVALID
    elsewhere = Browser(with_provider.http)
    assert (await by_provider(elsewhere, browser.email, browser.email)).status_code == 303  # the identity stays
    assert (await browser.log_in(password=NEW_PASSWORD)).status_code == 200
    assert ((await me(browser))["id"], (await me(browser))["has_password"]) == ((await me(elsewhere))["id"], True)
    await with_provider.deliver()
    await with_provider.server.mail(browser.email, "password was set anew")
    assert (await browser.post("/api/auth/keys", json={"name": "mine", "scopes": ["chat"]})).status_code == 201
    assert (await browser.send("DELETE", "/api/auth/me")).status_code == 204


async def test_no_link_gives_a_password_to_an_account_whose_address_nobody_has_verified(
    with_provider: Deployment,
) -> None:
    """Else who has changed the address to a stranger's would lose the account to the stranger, or share it."""
    browser = await by_a_provider_that_tells_no_time(with_provider)
    link = await with_provider.ask_for_reset(browser.email)
    unverified = "UPDATE users SET email_verified_at = NULL WHERE email = %s"
    execute(with_provider.database_url, unverified, browser.email)
    assert refusal_of(await with_provider.reset(link.token)) == INVALID
    before = len(with_provider.server.taken)
    assert (await with_provider.post("password/forgot", email=browser.email)).status_code == 202
    await with_provider.deliver()
    assert (len(with_provider.server.taken), with_provider.waiting()) == (before, [])
    assert (await me(browser))["has_password"] is False


async def test_a_second_factor_stays_where_a_link_gives_a_first_password(with_provider: Deployment) -> None:
    browser = await by_a_provider_that_tells_no_time(with_provider)
    factor = "INSERT INTO second_factors (user_id, totp_secret, confirmed_at) SELECT id, 'x', now() FROM users WHERE email = %s"
    execute(with_provider.database_url, factor, browser.email)
    assert (await with_provider.reset((await with_provider.ask_for_reset(browser.email)).token)).status_code == 204
    assert refusal_of(await browser.log_in(password=NEW_PASSWORD)) == (401, "second_factor_required")


@pytest.mark.parametrize("what", ["key", "factor"])
async def test_what_waits_while_the_session_ends_is_not_made(deployed: Deployment, what: str) -> None:
    """Else a stranger who asks all the time for API keys could have one made behind a reset."""
    browser = await deployed.new_user()
    path, body = "/api/auth/keys", {"name": "mine", "scopes": ["chat"]}
    if what == "factor":
        secret = (await browser.post("/api/auth/second-factor")).json()["secret"]
        path, body = "/api/auth/second-factor/confirm", {"code": pyotp.TOTP(secret).now()}
    of_user = "user_id = (SELECT id FROM users WHERE email = %s)"
    url = deployed.database_url
    with psycopg.connect(url) as holding, psycopg.connect(url, autocommit=True) as watching:
        holding.execute("SELECT 1 FROM users WHERE email = %s FOR UPDATE", [browser.email])
        asked = asyncio.create_task(browser.post(path, json=body))
        await asyncio.to_thread(wait_for_waiters, watching, 1)
        holding.execute(f"DELETE FROM sessions WHERE {of_user}".encode(), [browser.email])  # noqa: S608 - ours
    assert refusal_of(await asked) == (403, "reauthentication_required")
    for made in ("api_keys WHERE", "second_factors WHERE confirmed_at IS NOT NULL AND"):
        assert execute(url, f"SELECT 1 FROM {made} {of_user}", browser.email) == []  # noqa: S608


async def test_a_reset_leaves_the_keys_and_identities_of_an_owner_who_had_verified_the_address(
    deployed: Deployment,
) -> None:
    browser = await deployed.new_user(verified=True)
    (await browser.post("/api/auth/keys", json={"name": "mine", "scopes": ["chat"]})).raise_for_status()
    identity = (
        "INSERT INTO oidc_identities (user_id, issuer, subject) SELECT id, 'x', email FROM users WHERE email = %s"
    )
    execute(deployed.database_url, identity, browser.email)
    assert (await deployed.reset((await deployed.ask_for_reset(browser.email)).token)).status_code == 204
    of_user = "user_id = (SELECT id FROM users WHERE email = %s)"
    for table in ("oidc_identities", "api_keys"):
        assert execute(deployed.database_url, f"SELECT 1 FROM {table} WHERE {of_user}", browser.email) == [(1,)]  # noqa: S608


async def test_nobody_has_mails_sent_to_an_address_that_is_not_verified_by_changing_things(
    deployed: Deployment,
) -> None:
    browser = await deployed.new_user()
    for old, new in ((PASSWORD, NEW_PASSWORD), (NEW_PASSWORD, PASSWORD)):
        body = {"current_password": old, "new_password": new}
        assert (await browser.post("/api/auth/password", json=body)).status_code == 204
    secret = (await browser.post("/api/auth/second-factor")).json()["secret"]
    (await browser.post("/api/auth/second-factor/confirm", json={"code": pyotp.TOTP(secret).now()})).raise_for_status()
    after = f"{uuid4().hex}@example.com"
    (await browser.send("PATCH", "/api/auth/me", json={"email": after})).raise_for_status()
    assert deployed.waiting() == [("verify_email", after)]
    await deployed.deliver()


async def test_an_account_gets_so_many_links_that_set_a_password_and_no_more(deployed: Deployment) -> None:
    """However the address is spelled: PostgreSQL takes more spellings for the same than the API's count does."""
    browser = await deployed.new_user()
    for _ in range(MAX_RESET_LINKS + 3):
        assert (await deployed.post("password/forgot", email=browser.email)).status_code == 202
    ids = execute(deployed.database_url, "SELECT id FROM account_mails")
    await asyncio.gather(*(deployed.outbox.send(int(str(mail_id))) for (mail_id,) in ids))
    assert deployed.waiting() == []
    assert len(await deployed.server.mails(browser.email, subject="Set a new password")) == MAX_RESET_LINKS
    execute(deployed.database_url, "DELETE FROM account_links WHERE purpose = 'reset_password'")
    await deployed.ask_for_reset(browser.email)


async def test_a_password_that_was_locked_while_a_reset_was_under_way_stays_locked(
    deployed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await deployed.new_user()
    token = (await deployed.ask_for_reset(browser.email)).token

    async def lock_and_check(password: str, email: str) -> None:
        execute(deployed.database_url, "UPDATE users SET password_hash = '!' WHERE email = %s", browser.email)
        await check_new_password(password, email)

    monkeypatch.setattr(mail_router, "check_new_password", lock_and_check)
    assert refusal_of(await deployed.reset(token)) == INVALID
    kept = "SELECT password_hash FROM users WHERE email = %s"
    assert execute(deployed.database_url, kept, browser.email) == [("!",)]


async def test_the_statements_that_lock_an_account_close_it(deployed: Deployment) -> None:
    """Those that docs/operations.md names: `disabled_at` is what every way in asks, that by a provider too."""
    browser = await deployed.new_user(verified=True)
    made = await browser.post("/api/auth/keys", json={"name": "mine", "scopes": ["chat"]})
    reset = await deployed.ask_for_reset(browser.email)
    (block,) = [each for each in SQL.findall(OPERATIONS.read_text()) if "UPDATE users SET disabled_at" in each]
    for statement in block.replace("somebody@example.com", browser.email).strip().split(";\n"):
        execute(deployed.database_url, statement)
    assert not await browser.is_logged_in()
    by_key = {"Authorization": f"Bearer {made.json()['key']}"}
    assert refusal_of(await deployed.http.get("/api/auth/me", headers=by_key)) == (401, "key_invalid")
    assert refusal_of(await browser.log_in()) == (401, "credentials_invalid")
    assert refusal_of(await deployed.reset(reset.token)) == INVALID
    is_disabled = "SELECT disabled_at IS NOT NULL FROM users WHERE email = %s"
    assert execute(deployed.database_url, is_disabled, browser.email) == [(True,)]


async def test_the_statements_that_mark_an_address_leave_nothing_to_who_made_the_account(deployed: Deployment) -> None:
    """Those that docs/operations.md names for who waits in a stranger's account while passwords are off."""
    stranger = await deployed.new_user()
    made = await stranger.post("/api/auth/keys", json={"name": "mine", "scopes": ["chat"]})
    (block,) = [each for each in SQL.findall(OPERATIONS.read_text()) if "email_verified_at = now()" in each]
    with psycopg.connect(deployed.database_url, autocommit=True) as connection:
        connection.execute(block.replace("ada@example.com", stranger.email).encode())
    assert not await stranger.is_logged_in()
    by_key = {"Authorization": f"Bearer {made.json()['key']}"}
    assert refusal_of(await deployed.http.get("/api/auth/me", headers=by_key)) == (401, "key_invalid")
    assert refusal_of(await stranger.log_in()) == (401, "credentials_invalid")
    is_verified = "SELECT email_verified_at IS NOT NULL FROM users WHERE email = %s"
    assert execute(deployed.database_url, is_verified, stranger.email) == [(True,)]


async def test_a_user_who_is_kept_out_is_mailed_no_link(deployed: Deployment) -> None:
    browser = await deployed.new_user()
    (await browser.post("/api/auth/verify-email/send")).raise_for_status()
    execute(deployed.database_url, "UPDATE users SET disabled_at = now() WHERE email = %s", browser.email)
    before = len(deployed.server.taken)
    await deployed.deliver()
    assert (len(deployed.server.taken), deployed.waiting()) == (before, [])


async def test_an_address_that_a_release_before_has_changed_is_not_taken_for_verified(deployed: Deployment) -> None:
    browser = await deployed.new_user(verified=True)
    change = "UPDATE users SET email = %s WHERE email = %s"
    execute(deployed.database_url, change, f"{uuid4().hex}@example.com", browser.email)
    assert (await me(browser))["email_verified"] is False


async def test_a_link_does_nothing_but_what_it_is_for(deployed: Deployment) -> None:
    browser = await deployed.new_user()
    verify = (await deployed.server.mail(browser.email)).token
    reset = (await deployed.ask_for_reset(browser.email)).token
    assert refusal_of(await deployed.reset(verify)) == INVALID
    assert refusal_of(await deployed.verify(browser, reset)) == INVALID
    refused = await deployed.sign_up(invite=verify)
    assert (refusal_of(refused), refused.json()["field"]) == ((422, "invite_invalid"), "invite")
    assert (await deployed.verify(browser, verify)).status_code == 204
    assert (await deployed.reset(reset)).status_code == 204


@pytest.mark.parametrize("token", ["x", "x" * 43, "\u00e4", "crt_" + "x" * 75])
async def test_a_token_of_nobody_is_refused_by_name(deployed: Deployment, token: str) -> None:
    browser = await deployed.new_user()
    for refused in (await deployed.reset(token), await deployed.verify(browser, token)):
        assert (refusal_of(refused), refused.json()["field"]) == (INVALID, "token")


async def test_a_link_that_has_ended_is_refused(deployed: Deployment) -> None:
    browser = await deployed.new_user()
    tokens = (await deployed.server.mail(browser.email)).token, (await deployed.ask_for_reset(browser.email)).token
    of_user = "user_id = (SELECT id FROM users WHERE email = %s)"
    left = f"SELECT purpose, round(extract(epoch FROM expires_at - created_at) / 60) FROM account_links WHERE {of_user}"  # noqa: S608
    assert sorted(execute(deployed.database_url, left, browser.email)) == [
        ("reset_password", 30),
        ("verify_email", 24 * 60),
    ]
    execute(deployed.database_url, f"UPDATE account_links SET expires_at = now() WHERE {of_user}", browser.email)  # noqa: S608
    assert refusal_of(await deployed.verify(browser, tokens[0])) == INVALID
    assert refusal_of(await deployed.reset(tokens[1])) == INVALID
    await deployed.outbox.sweep()
    assert execute(deployed.database_url, f"SELECT 1 FROM account_links WHERE {of_user}", browser.email) == []  # noqa: S608


@pytest.mark.parametrize("lock", ["password_hash = 'locked'", "disabled_at = now()"])
async def test_no_link_opens_an_account_that_was_locked(deployed: Deployment, lock: str) -> None:
    browser = await deployed.new_user()
    token = (await deployed.ask_for_reset(browser.email)).token
    execute(deployed.database_url, f"UPDATE users SET {lock} WHERE email = %s", browser.email)  # noqa: S608 - ours
    assert refusal_of(await deployed.reset(token)) == INVALID
    before = len(deployed.server.taken)
    assert (await deployed.post("password/forgot", email=browser.email)).status_code == 202
    await deployed.deliver()
    assert len(deployed.server.taken) == before
    assert deployed.waiting() == []


async def test_nobody_learns_from_a_forgotten_password_which_addresses_have_accounts(deployed: Deployment) -> None:
    """Not from the answer, and not from its time: what is asked of the database is the same."""
    browser = await deployed.new_user()
    asked = []
    for email in (browser.email, f"{uuid4().hex}@example.com"):
        with statements() as seen:
            answer = await deployed.post("password/forgot", email=email)
        headers = {name: value for name, value in answer.headers.items() if name not in {"date", "x-request-id"}}
        asked.append((answer.status_code, answer.content, sorted(headers.items()), seen))
    assert asked[0] == asked[1]
    assert asked[0][:2] == (202, b"")
    assert len([statement for statement in asked[0][3] if "account_mails" in statement]) == 1
    assert not any("users" in statement for statement in asked[0][3])
    await deployed.deliver()
    assert deployed.waiting() == []
    assert len(await deployed.server.mails(browser.email, subject="Set a new password")) == 1


async def test_a_link_goes_to_the_address_that_the_account_has_and_not_to_the_one_that_was_typed(
    deployed: Deployment,
) -> None:
    browser = await deployed.new_user()
    assert (await deployed.post("password/forgot", email=browser.email.upper())).status_code == 202
    await deployed.deliver()
    assert len(await deployed.server.mails(browser.email, subject="Set a new password")) == 1


async def test_mails_are_limited_by_address_and_by_network_whether_or_not_there_is_an_account(
    limited: Deployment,
) -> None:
    browser, nobody = Browser(limited.http), f"{uuid4().hex}@example.com"
    await browser.sign_up()  # its mail is one of those to the address
    (await browser.log_in()).raise_for_status()
    for email, statuses in ((browser.email, [202]), (nobody, [202, 202])):
        assert [(await limited.ask("203.0.113.7", email)).status_code for _ in statuses] == statuses
        refused = await limited.ask("203.0.113.7", email.upper())
        assert refusal_of(refused) == (429, "too_many_mails")
        assert 3500 < int(refused.headers["Retry-After"]) <= 3600
    assert refusal_of(await browser.post("/api/auth/verify-email/send")) == (429, "too_many_mails")
    others = [await limited.ask("203.0.113.8", f"{uuid4().hex}@example.com") for _ in range(NETWORK + 1)]
    assert [answer.status_code for answer in others] == [*[202] * NETWORK, 429]


async def test_a_network_that_is_over_its_count_uses_up_no_count_of_an_address(limited: Deployment) -> None:
    owner = f"{uuid4().hex}@example.com"
    for _ in range(NETWORK):
        assert (await limited.ask("203.0.113.9", f"{uuid4().hex}@example.com")).status_code == 202
    for _ in range(ADDRESS + 1):
        assert (await limited.ask("203.0.113.9", owner)).status_code == 429
    assert (await limited.ask("203.0.113.10", owner)).status_code == 202


async def test_an_account_that_is_made_again_and_again_has_no_more_mails_sent_than_may_be_asked_for(
    limited: Deployment,
) -> None:
    browser, network = Browser(limited.http), {"X-Forwarded-For": "203.0.113.11"}
    browser.email = f"{uuid4().hex}@example.com"
    for _ in range(ADDRESS + 2):
        body = {"email": browser.email, "password": PASSWORD}
        assert (await browser.post("/api/auth/signup", json=body, headers=network)).status_code == 201
        await limited.deliver()
        (await browser.log_in()).raise_for_status()
        assert (await browser.send("DELETE", "/api/auth/me")).status_code == 204
    assert len(await limited.server.mails(browser.email, ADDRESS)) == ADDRESS
    body = {"email": (await limited.new_user()).email, "password": PASSWORD}
    for _ in range(ADDRESS):  # who is refused uses up nobody's count
        assert refusal_of(await limited.http.post("/api/auth/signup", json=body, headers=network)) == (
            409,
            "email_taken",
        )
    assert (await limited.ask("203.0.113.12", body["email"])).status_code == 202


async def test_asking_works_the_same_while_mail_is_off(http: httpx.AsyncClient, deployed: Deployment) -> None:
    body = {"email": f"{uuid4().hex}@example.com"}
    off, on = [await each.post("/api/auth/password/forgot", json=body) for each in (http, deployed.http)]
    assert (off.status_code, off.content) == (on.status_code, on.content) == (202, b"")
    options = {"signup": "open", "password": True, "providers": []}
    assert (await http.get("/api/auth/options")).json() == {**options, "mail": False}
    assert (await deployed.http.get("/api/auth/options")).json() == {**options, "mail": True}


async def test_who_deletes_the_account_is_mailed_nothing_any_more(deployed: Deployment) -> None:
    browser = await deployed.new_user()
    await deployed.post("password/forgot", email=browser.email.upper())
    await browser.post("/api/auth/verify-email/send")
    assert len(deployed.waiting()) == 2
    assert (await browser.send("DELETE", "/api/auth/me")).status_code == 204
    assert deployed.waiting() == []
    assert execute(deployed.database_url, "SELECT 1 FROM account_links WHERE mailed_to = %s", browser.email) == []


async def test_only_who_is_logged_in_has_a_link_sent_again(http: httpx.AsyncClient) -> None:
    assert (await http.post("/api/auth/verify-email/send")).status_code == 401


async def test_an_account_is_changed_and_deleted_while_its_mails_are_sent(deployed: Deployment) -> None:
    """Neither waits for the other in a circle, and no link outlives what ends it."""
    for _ in range(10):
        browser = await deployed.new_user()
        email = f"{uuid4().hex}@example.com"
        await browser.post("/api/auth/verify-email/send")
        await deployed.post("password/forgot", email=browser.email)
        changed, *_ = await asyncio.gather(
            browser.send("PATCH", "/api/auth/me", json={"email": email}), deployed.deliver(), deployed.deliver()
        )
        assert changed.status_code == 200
        mailed = "SELECT DISTINCT mailed_to FROM account_links WHERE mailed_to IN (%s, %s)"
        assert execute(deployed.database_url, mailed, browser.email, email) in ([], [(email,)])
        await browser.post("/api/auth/verify-email/send")
        deleted, *_ = await asyncio.gather(
            browser.send("DELETE", "/api/auth/me"), deployed.deliver(), deployed.deliver()
        )
        assert deleted.status_code == 204
        assert execute(deployed.database_url, mailed, browser.email, email) == []
    assert deployed.waiting() == []


async def test_deleting_an_account_and_sending_its_mail_wait_for_each_other_in_one_order(
    deployed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker has the user and waits for nothing that the deletion has."""
    browser = await deployed.new_user()
    await deployed.post("password/forgot", email=browser.email)
    ((mail_id,),) = execute(deployed.database_url, "SELECT id FROM account_mails")
    sending = list[asyncio.Task[None]]()

    async def send_and_delete(db: Connection, *which: ColumnElement[bool]) -> DeletedGenerations:
        sending.append(asyncio.create_task(deployed.outbox.send(int(str(mail_id)))))
        await asyncio.wait(sending, timeout=1)  # where the deletion has the mail already, it waits
        return await delete_generations(db, *which)

    monkeypatch.setattr(queries, "delete_generations", send_and_delete)
    assert (await browser.send("DELETE", "/api/auth/me")).status_code == 204
    await sending[0]
    assert deployed.waiting() == []
