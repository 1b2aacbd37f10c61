"""Invites of admins: made, listed and taken back by the routes, and each act noted with what it does, or neither happens."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import httpx
import pytest

from services.api.admin.invites_router import MAX_INVITES
from services.launcher.embedded.valkey import EmbeddedValkey
from tests.conftest import settings_for
from tests.doubles.smtp import MailServer, run_mail_server
from tests.integration.conftest import serve
from tests.integration.routes.conftest import NOBODY
from tests.integration.routes.test_invites import INVALID, invited, new_email
from tests.support.admins import Person, new_admin
from tests.support.clients import NO_TLS, PASSWORD, refusal_of
from tests.support.databases import APP
from tests.support.mails import PAGE, Deployment, deployment_with_mail
from tests.support.oidc import providers
from tests.support.turns import execute

INVITES: Final = "/api/admin/invites"
ACTS: Final = "/api/admin/acts"
AN_HOUR_AGO: Final = "UPDATE sessions SET authenticated_at = now() - interval '1 hour' WHERE user_id = %s"


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[MailServer]:
    """The file's mail server."""
    async with run_mail_server() as running:
        yield running


@pytest.fixture
async def deployed(
    make_database: Callable[[], str], valkey: EmbeddedValkey, server: MailServer
) -> AsyncIterator[Deployment]:
    """A deployment that sends mail and asks for no invite, so that an admin can sign up."""
    async with deployment_with_mail(make_database(), valkey.url, server) as running:
        yield running


@pytest.fixture
async def admin(deployed: Deployment) -> AsyncIterator[Person]:
    async with new_admin(str(deployed.http.base_url), deployed.database_url) as person:
        yield person


async def made_by(admin: Person, **body: Any) -> dict[str, Any]:  # noqa: ANN401
    answer = await admin.client.http.post(INVITES, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def listed(admin: Person, **params: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    found: list[dict[str, Any]] = (await admin.client.http.get(INVITES, params=params)).raise_for_status().json()
    return found


async def acts_of(admin: Person) -> list[tuple[Any, ...]]:
    """(act, subject, credential, details) of what the admin has done, in order."""
    told = (await admin.client.http.get(ACTS, params={"actor_id": admin.id})).raise_for_status().json()
    return [(act["act"], act["subject_id"], act["credential"], act["details"]) for act in reversed(told)]


@pytest.fixture
async def by_invite(
    deployed: Deployment, admin: Person, valkey: EmbeddedValkey, server: MailServer
) -> AsyncIterator[Deployment]:
    """Another API of the same deployment, that asks for an invite. The admin has an account by then."""
    async with deployment_with_mail(deployed.database_url, valkey.url, server, signup_mode="invite") as running:
        yield running


async def test_an_admins_invite_makes_one_account_and_is_gone_from_the_list(
    admin: Person, by_invite: Deployment
) -> None:
    made = await made_by(admin)
    assert made.keys() == {"id", "email", "expires_at", "link", "mailed"}
    assert (made["email"], made["mailed"]) == (None, False)
    place, _, token = made["link"].partition("=")
    assert place == f"{PAGE}/#/sign-up?invite"
    (told,) = await listed(admin)
    assert told.items() >= {"id": made["id"], "email": None, "expires_at": made["expires_at"]}.items()
    assert (told["created_by"], told["created_by_email"]) == (admin.id, admin.email)
    assert token not in str(told)
    assert (await by_invite.sign_up(invite=token)).status_code == 201
    assert await listed(admin) == []
    assert refusal_of(await by_invite.sign_up(invite=token)) == INVALID


async def test_an_invite_for_an_address_is_mailed_there_too(
    admin: Person, by_invite: Deployment, server: MailServer
) -> None:
    email = new_email()
    made = await made_by(admin, email=email)
    assert (made["email"], made["mailed"]) == (email, True)
    await by_invite.deliver()
    mailed = await server.mail(email)
    shown = made["link"].partition("=")[2]
    assert mailed.token != shown
    assert refusal_of(await by_invite.sign_up(new_email(), shown)) == INVALID
    signed_up = await by_invite.sign_up(email, mailed.token)
    assert (signed_up.status_code, signed_up.json()["email_verified"]) == (201, True)
    assert refusal_of(await by_invite.sign_up(email, shown)) == INVALID


async def test_an_invite_that_is_taken_back_admits_nobody_and_its_mail_does_not_go(
    admin: Person, by_invite: Deployment, server: MailServer
) -> None:
    email = new_email()
    made = await made_by(admin, email=email)
    path = f"{INVITES}/{made['id']}"
    assert (await admin.client.http.delete(path)).status_code == 204
    assert refusal_of(await by_invite.sign_up(email, made["link"].partition("=")[2])) == INVALID
    assert (by_invite.links("invite"), await listed(admin)) == (0, [])
    assert ("invite", email) not in by_invite.waiting()
    assert refusal_of(await admin.client.http.delete(path)) == (404, "invite_not_found")
    assert [act for act, *_ in await acts_of(admin)] == ["invite.made", "invite.removed"]


async def test_making_and_removing_are_acts_that_name_no_address(admin: Person, deployed: Deployment) -> None:
    email, key = new_email(), await admin.key("admin")
    first = await made_by(admin, email=email)
    second = (await deployed.http.post(INVITES, headers=key)).raise_for_status().json()  # without a body
    (await deployed.http.delete(f"{INVITES}/{first['id']}", headers=key)).raise_for_status()
    assert await acts_of(admin) == [
        ("invite.made", None, "session", {"invite": first["id"], "bound": True, "mailed": True}),
        ("invite.made", None, "api_key", {"invite": second["id"], "bound": False, "mailed": False}),
        ("invite.removed", None, "api_key", {"invite": first["id"]}),
    ]
    noted = str(execute(deployed.database_url, "SELECT t::text FROM admin_acts t"))
    assert email not in noted
    assert not any(made["link"].partition("=")[2] in noted for made in (first, second))


async def test_an_invite_of_which_no_act_can_be_noted_is_neither_made_nor_removed(
    admin: Person, deployed: Deployment
) -> None:
    made = await made_by(admin)
    execute(deployed.database_url, f"REVOKE INSERT ON admin_acts FROM {APP.name}")
    try:
        for method, path in (("POST", INVITES), ("DELETE", f"{INVITES}/{made['id']}")):
            assert (await admin.client.http.request(method, path)).status_code == 500
    finally:
        execute(deployed.database_url, f"GRANT INSERT ON admin_acts TO {APP.name}")
    assert [invite["id"] for invite in await listed(admin)] == [made["id"]]
    assert deployed.links("invite") == 1


async def test_making_and_removing_need_a_recent_authentication_and_listing_does_not(
    admin: Person, deployed: Deployment
) -> None:
    made = await made_by(admin)
    execute(deployed.database_url, AN_HOUR_AGO, admin.id)
    for method, path in (("POST", INVITES), ("DELETE", f"{INVITES}/{made['id']}")):
        refused = await admin.client.http.request(method, path)
        assert refusal_of(refused) == (403, "reauthentication_required")
    assert [invite["id"] for invite in await listed(admin)] == [made["id"]]


async def test_invites_are_listed_page_by_page_and_those_that_have_ended_are_not(
    admin: Person, deployed: Deployment
) -> None:
    ids = [(await made_by(admin))["id"] for _ in range(2)]
    ids.append((await invited(deployed.database_url, new_email())).id)
    ended = (await made_by(admin))["id"]
    execute(deployed.database_url, "UPDATE account_invites SET expires_at = now() WHERE id = %s", ended)
    first = await admin.client.http.get(INVITES, params={"limit": 2})
    second = await admin.client.http.get(first.links["next"]["url"])
    assert [invite["id"] for page in (first, second) for invite in page.json()] == ids[::-1]
    assert "next" not in second.links
    by_command = first.json()[0]
    assert (by_command["created_by"], by_command["created_by_email"]) == (None, None)
    assert refusal_of(await admin.client.http.get(INVITES, params={"cursor": "x"})) == (422, "cursor_invalid")


async def test_an_address_that_is_none_is_refused(admin: Person) -> None:
    refused = await admin.client.http.post(INVITES, json={"email": "nobody"})
    assert (*refusal_of(refused), refused.json()["field"]) == (422, "validation_failed", "email")


async def test_there_are_so_many_invites_and_no_more(admin: Person, deployed: Deployment) -> None:
    execute(
        deployed.database_url,
        "INSERT INTO account_invites (expires_at) SELECT now() + interval '1 day' FROM generate_series(1, %s)",
        MAX_INVITES,
    )
    assert refusal_of(await admin.client.http.post(INVITES)) == (409, "too_many_invites")
    (newest,) = await listed(admin, limit=1)
    (await admin.client.http.delete(f"{INVITES}/{newest['id']}")).raise_for_status()
    await made_by(admin)


async def test_mails_of_invites_count_as_mails_that_were_asked_for(
    admin: Person, valkey: EmbeddedValkey, server: MailServer, deployed: Deployment
) -> None:
    key, body = await admin.key("admin"), {"email": new_email()}
    async with deployment_with_mail(deployed.database_url, valkey.url, server, mails_per_hour=1) as strict:
        assert (await strict.http.post(INVITES, json=body, headers=key)).status_code == 201
        assert refusal_of(await strict.http.post(INVITES, json=body, headers=key)) == (429, "too_many_mails")
        assert (await strict.http.post(INVITES, headers=key)).status_code == 201  # which is not mailed
    assert len(await listed(admin)) == 2


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"signup_mode": "closed"}, "signup_closed"),
        ({"password_login": False, "oidc_providers": providers(acme=NOBODY)}, "password_login_off"),
    ],
)
async def test_no_invite_is_made_that_nobody_could_use(
    admin: Person, deployed: Deployment, valkey: EmbeddedValkey, more: dict[str, object], code: str
) -> None:
    key = await admin.key("admin")
    settings = settings_for(deployed.database_url, valkey.url, NOBODY, public_url=PAGE, **more)
    async with serve(settings) as url, httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=20) as http:
        assert refusal_of(await http.post(INVITES, headers=key)) == (403, code)
        assert (await http.get(INVITES, headers=key)).json() == []


async def test_where_no_address_of_the_page_is_set_the_link_has_the_one_by_which_the_admin_came(
    make_database: Callable[[], str], valkey: EmbeddedValkey
) -> None:
    database_url = make_database()
    async with serve(settings_for(database_url, valkey.url, NOBODY)) as url, new_admin(url, database_url) as admin:
        made = await made_by(admin, email=new_email())
        assert made["link"].startswith(f"{url}/#/sign-up?invite=")
        assert made["mailed"] is False
        body = {"email": made["email"], "password": PASSWORD, "invite": made["link"].partition("=")[2]}
        assert (await admin.client.http.post("/api/auth/signup", json=body)).status_code == 201
