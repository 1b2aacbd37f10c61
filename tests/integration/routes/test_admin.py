"""Admins: who is let in, what they see and change, and that each act is noted with what it does, or neither happens."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import psycopg
import pytest
from psycopg import errors

from services.api.accounts.deletion import DeletedAccount, delete_rows
from services.api.admin import queries
from services.launcher.admins import remove_admin
from services.launcher.cli import run
from shared.database.engine import Connection
from shared.ids import UserId
from tests.integration.routes.test_principal import SECURED, endless, refusal_in
from tests.support.admins import Person, acts_on, new_admin, new_person
from tests.support.api_keys import by_key, made_key
from tests.support.clients import PASSWORD, refusal_of
from tests.support.databases import APP, as_app
from tests.support.signed_in import Browser
from tests.support.turns import execute, wait_for_waiters

USERS: Final = "/api/admin/users"
ACTS: Final = "/api/admin/acts"
INVITES: Final = "/api/admin/invites"
ROUTES: Final = [(method, path) for method, path in SECURED if path.startswith("/api/admin/")]
MEMBERS: Final = {
    *("id", "email", "role", "created_at", "email_verified"),
    *("disabled_at", "last_used_at", "chats", "daily_tokens"),
}
NOBODY_ID: Final = 2**62
AN_HOUR_AGO: Final = "UPDATE sessions SET authenticated_at = now() - interval '1 hour' WHERE user_id = %s"


@pytest.fixture
async def admin(api: str, database_url: str) -> AsyncIterator[Person]:
    async with new_admin(api, database_url) as person:
        yield person


@pytest.fixture
async def person(api: str) -> AsyncIterator[Person]:
    """A user as any other."""
    async with new_person(api) as made:
        yield made


async def patched(admin: Person, subject: Person, **change: Any) -> httpx.Response:  # noqa: ANN401
    return await admin.client.http.patch(subject.path, json=change)


def test_there_are_these_routes() -> None:
    assert {f"{method} {re.sub('/[0-9]+', '/{id}', path)}" for method, path in ROUTES} >= {
        f"GET {USERS}",
        *(f"{method} {USERS}/{{id}}" for method in ("GET", "PATCH", "DELETE")),
        f"POST {USERS}/{{id}}/end-sessions",
        f"GET {USERS}/{{id}}/usage",
        f"GET {ACTS}",
        *(f"{method} {INVITES}" for method in ("GET", "POST")),
        f"DELETE {INVITES}/{{id}}",
    }


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_who_is_no_admin_is_refused_at_every_route_before_the_body_is_read(
    person: Person, api: str, http: httpx.AsyncClient, method: str, path: str
) -> None:
    browser = Browser(http)
    (await browser.log_in(person.email)).raise_for_status()
    for refused in (await person.client.http.request(method, path), await browser.send(method, path)):
        assert refusal_of(refused) == (403, "admin_only")
    async with endless(api, method, path, f"Authorization: Bearer {person.client.token}") as answer, asyncio.timeout(2):
        head, code = await refusal_in(answer)
    assert (head.startswith(b"HTTP/1.1 403 "), code) == (True, "admin_only")


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_an_admins_key_needs_the_scope(admin: Person, http: httpx.AsyncClient, method: str, path: str) -> None:
    refused = await http.request(method, path, headers=await admin.key("chat", "read"))
    assert refusal_of(refused) == (403, "scope_missing")
    assert refused.json()["detail"].endswith("needs: admin.")


async def test_an_admin_comes_in_by_every_credential(admin: Person, http: httpx.AsyncClient) -> None:
    browser = Browser(http)
    (await browser.log_in(admin.email)).raise_for_status()
    key = await admin.key("admin")
    for path in (USERS, admin.path, f"{admin.path}/usage", ACTS):
        assert (await admin.client.http.get(path)).status_code == 200
        assert (await browser.get(path)).status_code == 200
        assert (await http.get(path, headers=key)).status_code == 200
    assert (await admin.client.http.get("/api/auth/me")).json()["role"] == "admin"
    # The scope is for nothing else.
    assert refusal_of(await http.get("/api/chats", headers=key)) == (403, "scope_missing")


async def test_nobody_becomes_an_admin_by_signing_up(person: Person, http: httpx.AsyncClient) -> None:
    assert (await person.client.http.get("/api/auth/me")).json()["role"] == "user"
    for method, path, body in (
        ("PATCH", "/api/auth/me", {"time_zone": None, "role": "admin"}),
        ("POST", "/api/auth/signup", {"email": "a@example.com", "password": PASSWORD, "role": "admin"}),
    ):
        refused = await person.client.http.request(method, path, json=body)
        assert (*refusal_of(refused), refused.json()["field"]) == (422, "validation_failed", "role")


async def test_only_an_admin_makes_a_key_for_admins(admin: Person, person: Person) -> None:
    body = {"name": "Robot", "scopes": ["read", "admin"]}
    refused = await person.client.http.post("/api/auth/keys", json=body)
    assert (*refusal_of(refused), refused.json()["field"]) == (422, "scope_not_allowed", "scopes")
    made = await admin.client.http.post("/api/auth/keys", json=body)
    assert (made.status_code, made.json()["scopes"]) == (201, ["read", "admin"])


async def test_who_is_no_admin_any_more_is_refused_at_the_next_request(
    admin: Person, http: httpx.AsyncClient, database_url: str
) -> None:
    browser, key = Browser(http), await admin.key("admin")
    (await browser.log_in(admin.email)).raise_for_status()
    assert await asyncio.to_thread(remove_admin, as_app(database_url), admin.email)
    told = [
        await admin.client.http.get(USERS),
        await browser.get(USERS),
        await http.get(USERS, headers=key),
        await http.post(f"{admin.path}/end-sessions", headers=key),
    ]
    assert [refusal_of(refused) for refused in told] == [(403, "admin_only")] * 4
    assert (await admin.client.http.get("/api/auth/me")).json()["role"] == "user"
    refused = await admin.client.http.post("/api/auth/keys", json={"name": "Robot", "scopes": ["admin"]})
    assert refusal_of(refused) == (422, "scope_not_allowed")


async def test_all_users_are_listed_page_by_page_the_newest_first(
    admin: Person, person: Person, api: str, database_url: str
) -> None:
    async with new_person(api) as newest:
        ((many,),) = execute(database_url, "SELECT count(*) FROM users")
        listed: list[dict[str, Any]] = []
        url: str | None = f"{USERS}?limit=2"
        while url:
            page = (await admin.client.http.get(url)).raise_for_status()
            assert len(page.json()) <= 2
            listed += page.json()
            url = page.links.get("next", {}).get("url")
        ids = [user["id"] for user in listed]
        assert ids == sorted(ids, reverse=True)
        assert len(set(ids)) == many
        assert ids[:2] == [newest.id, person.id]
        assert all(user.keys() == MEMBERS for user in listed)
    for query in (
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=x",
        "cursor=-1",
        "query=",
        f"query={'x' * 201}",
        "query=%00",
    ):
        refused = await admin.client.http.get(f"{USERS}?{query}")
        assert (refused.status_code, refused.json()["field"]) == (422, query.partition("=")[0]), query


async def test_what_is_told_of_a_user(admin: Person, person: Person, database_url: str) -> None:
    _, trashed, hidden = [await person.client.new_chat() for _ in range(3)]
    execute(database_url, "UPDATE chats SET is_hidden = true WHERE id = %s", hidden)
    (await person.client.http.post(f"/api/chats/{trashed}/trash")).raise_for_status()
    told = (await admin.client.http.get(person.path)).raise_for_status().json()
    moments = [datetime.fromisoformat(told.pop(name)) for name in ("created_at", "last_used_at")]
    assert all(timedelta() <= datetime.now(UTC) - moment < timedelta(minutes=1) for moment in moments)
    assert told == {
        "id": person.id,
        "email": person.email,
        "role": "user",
        "email_verified": False,
        "disabled_at": None,
        "chats": 2,
        "daily_tokens": None,
    }
    (found,) = (await admin.client.http.get(USERS, params={"query": person.email})).json()
    assert found["id"] == person.id
    (await person.client.http.post("/api/auth/logout-all")).raise_for_status()
    assert (await admin.client.http.get(person.path)).json()["last_used_at"] is None


async def test_a_user_is_found_by_a_part_of_the_address(admin: Person, api: str, database_url: str) -> None:
    async with new_person(api) as one, new_person(api) as other:
        execute(database_url, "UPDATE users SET email = %s WHERE id = %s", "Ann_Lee%x@Example.org", one.id)
        execute(database_url, "UPDATE users SET email = %s WHERE id = %s", "annxlee/y@example.org", other.id)
        for query, found in (
            ("n_lee", [one.id]),
            ("N_LEE%", [one.id]),
            ("e/y", [other.id]),
            ("EXAMPLE.ORG", [other.id, one.id]),
            ("%", [one.id]),
            ("\\", []),
            ("' OR true --", []),
        ):
            told = await admin.client.http.get(USERS, params={"query": query})
            assert [user["id"] for user in told.raise_for_status().json()] == found, query


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path in ROUTES if "/users/" in path])
async def test_a_user_who_is_not_there_is_told_as_such_and_no_act_is_noted(
    admin: Person, database_url: str, method: str, path: str
) -> None:
    path = re.sub("/users/[0-9]+", f"/users/{NOBODY_ID}", path)
    body = {"daily_tokens": 5} if method == "PATCH" else None
    assert refusal_of(await admin.client.http.request(method, path, json=body)) == (404, "user_not_found")
    assert acts_on(database_url, NOBODY_ID) == []


async def test_a_user_gets_a_quota_and_loses_it_again(admin: Person, person: Person, database_url: str) -> None:
    for daily_tokens in (1000, 1000, 0, None):
        told = (await patched(admin, person, daily_tokens=daily_tokens)).raise_for_status().json()
        assert told["daily_tokens"] == daily_tokens
        usage = (await person.client.http.get("/api/usage")).json()
        assert usage["today"]["limit"] == daily_tokens
        assert (await admin.client.http.get(f"{person.path}/usage")).json() == usage
    assert acts_on(database_url, person.id) == [
        ("user.quota_set", admin.id, "session", {"before": None, "after": 1000}),
        ("user.quota_set", admin.id, "session", {"before": 1000, "after": 0}),
        ("user.quota_set", admin.id, "session", {"before": 0, "after": None}),
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"disabled": None}, "disabled"),
        ({"disabled": "yes"}, "disabled"),
        ({"disabled": 1}, "disabled"),
        *(({"daily_tokens": tokens}, "daily_tokens") for tokens in (-1, 1.5, "5", True, 2**53)),
        ({"role": "admin"}, "role"),
        ({"daily_tokens": 5, "email": "a@example.com"}, "email"),
    ],
)
async def test_a_change_that_is_none_is_refused_by_its_fields_name(
    admin: Person, person: Person, database_url: str, body: dict[str, Any], field: str
) -> None:
    refused = await patched(admin, person, **body)
    assert (*refusal_of(refused), refused.json()["field"]) == (422, "validation_failed", field)
    assert acts_on(database_url, person.id) == []


async def test_a_users_sessions_are_ended_and_nothing_else(
    admin: Person, person: Person, http: httpx.AsyncClient, database_url: str
) -> None:
    key = await person.key("chat")
    browser = Browser(http)
    browser.email = person.email
    (await browser.log_in()).raise_for_status()
    assert (await admin.client.http.post(f"{person.path}/end-sessions")).status_code == 204
    assert refusal_of(await person.client.http.get("/api/chats")) == (401, "token_invalid")
    assert not await browser.is_logged_in()
    assert (await http.get("/api/chats", headers=key)).status_code == 200
    (await browser.log_in()).raise_for_status()
    assert acts_on(database_url, person.id) == [("user.sessions_ended", admin.id, "session", {"sessions": 2})]
    version = "SELECT credentials_version FROM users WHERE id = %s"
    assert execute(database_url, version, person.id) == [(1,)]  # which no login that was checked before has


async def test_where_no_session_ends_there_is_no_act(admin: Person, person: Person, database_url: str) -> None:
    for _ in range(2):
        assert (await admin.client.http.post(f"{person.path}/end-sessions")).status_code == 204
    assert acts_on(database_url, person.id) == [("user.sessions_ended", admin.id, "session", {"sessions": 1})]


async def test_of_two_who_delete_a_user_at_once_one_has_done_so(
    admin: Person, person: Person, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = asyncio.Barrier(2)

    async def meet_and_delete(db: Connection, user_id: UserId) -> DeletedAccount | None:
        await both.wait()
        return await delete_rows(db, user_id)

    monkeypatch.setattr(queries, "delete_rows", meet_and_delete)
    answers = await asyncio.gather(*(admin.client.http.delete(person.path) for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [204, 404]
    assert acts_on(database_url, person.id) == [("user.deleted", admin.id, "session", {})]


async def test_a_user_is_deleted_and_the_act_stays(
    admin: Person, person: Person, http: httpx.AsyncClient, database_url: str
) -> None:
    await person.client.new_chat()
    key = await admin.key("admin")
    assert (await http.delete(person.path, headers=key)).status_code == 204
    assert execute(database_url, "SELECT count(*) FROM chats WHERE user_id = %s", person.id) == [(0,)]
    assert refusal_of(await person.client.http.get("/api/chats")) == (401, "token_invalid")
    assert refusal_of(await http.delete(person.path, headers=key)) == (404, "user_not_found")
    (act,) = (await admin.client.http.get(ACTS, params={"subject_id": person.id})).json()
    assert (act["act"], act["subject_id"], act["subject_email"]) == ("user.deleted", person.id, None)
    assert person.email not in str(execute(database_url, "SELECT admin_acts::text FROM admin_acts"))


async def test_an_admin_neither_disables_nor_deletes_the_own_account(
    admin: Person, http: httpx.AsyncClient, database_url: str
) -> None:
    key = await admin.key("admin")
    for refused in (
        await patched(admin, admin, disabled=True),
        await admin.client.http.delete(admin.path),
        await http.patch(admin.path, json={"disabled": True}, headers=key),
        await http.delete(admin.path, headers=key),
    ):
        assert refusal_of(refused) == (409, "own_account")
    assert acts_on(database_url, admin.id) == []
    (await patched(admin, admin, disabled=False, daily_tokens=7)).raise_for_status()
    assert [act for act, *_ in acts_on(database_url, admin.id)] == ["user.quota_set"]


@pytest.mark.parametrize("act", ["disable", "delete"])
async def test_of_two_admins_who_keep_each_other_out_at_once_one_stays(
    admin: Person, api: str, database_url: str, act: str
) -> None:
    async def keep_out(one: Person, other: Person) -> int:
        if act == "delete":
            return (await one.client.http.delete(other.path)).status_code
        return (await patched(one, other, disabled=True)).status_code

    async with new_admin(api, database_url) as other:
        with psycopg.connect(database_url) as holding, psycopg.connect(database_url, autocommit=True) as watching:
            holding.execute("SELECT id FROM users WHERE id IN (%s, %s) FOR UPDATE", [admin.id, other.id])
            both = asyncio.gather(keep_out(admin, other), keep_out(other, admin))
            await asyncio.to_thread(wait_for_waiters, watching, 2)
        statuses = await both
        assert set(statuses) <= {200, 204, 401, 403, 503}
        left = "SELECT count(*) FROM users WHERE id IN (%s, %s) AND role = 'admin' AND disabled_at IS NULL"
        assert execute(database_url, left, admin.id, other.id) == [(1,)]


async def test_acts_by_a_session_need_a_recent_authentication_and_reading_does_not(
    admin: Person, person: Person, http: httpx.AsyncClient, database_url: str
) -> None:
    key = await admin.key("admin")
    execute(database_url, AN_HOUR_AGO, admin.id)
    for refused in (
        await patched(admin, person, disabled=True),
        await patched(admin, person, daily_tokens=5),
        await admin.client.http.post(f"{person.path}/end-sessions"),
        await admin.client.http.delete(person.path),
    ):
        assert refusal_of(refused) == (403, "reauthentication_required")
    for path in (USERS, person.path, f"{person.path}/usage", ACTS):
        assert (await admin.client.http.get(path)).status_code == 200
    assert (await http.patch(person.path, json={"daily_tokens": 5}, headers=key)).status_code == 200
    (await admin.client.http.post("/api/auth/reauthenticate", json={"password": PASSWORD})).raise_for_status()
    assert (await patched(admin, person, daily_tokens=6)).status_code == 200


async def test_acts_tell_who_acted_by_what_and_on_whom(
    admin: Person, person: Person, http: httpx.AsyncClient, database_url: str
) -> None:
    made = await made_key(admin.client, "admin")
    ((session,),) = execute(database_url, "SELECT id FROM sessions WHERE user_id = %s", admin.id)
    (await http.patch(person.path, json={"daily_tokens": 1}, headers=by_key(made["key"]))).raise_for_status()
    (await patched(admin, person, daily_tokens=2, disabled=True)).raise_for_status()
    (await patched(admin, person, disabled=False)).raise_for_status()
    told = (await admin.client.http.get(ACTS, params={"subject_id": person.id})).raise_for_status().json()
    of_admin = {"actor_id": admin.id, "actor_email": admin.email}
    assert {(act["subject_id"], act["subject_email"]) for act in told} == {(person.id, person.email)}
    assert all(act.items() >= of_admin.items() for act in told)
    assert [(act["act"], act["credential"], act["credential_id"], act["details"]) for act in reversed(told)] == [
        ("user.quota_set", "api_key", made["id"], {"before": None, "after": 1}),
        ("user.disabled", "session", session, {"sessions": 1}),
        ("user.quota_set", "session", session, {"before": 1, "after": 2}),
        ("user.enabled", "session", session, {}),
    ]
    (of_command,) = (await admin.client.http.get(ACTS, params={"subject_id": admin.id})).json()
    command = {"act": "admin.made", "actor_id": None, "actor_email": None, "credential": "command"}
    assert of_command.items() >= {**command, "credential_id": None}.items()
    assert (await admin.client.http.get(ACTS, params={"actor_id": person.id})).json() == []
    paged: list[dict[str, Any]] = []
    url: str | None = f"{ACTS}?actor_id={admin.id}&limit=3"
    while url:
        page = (await admin.client.http.get(url)).raise_for_status()
        paged += page.json()
        url = page.links.get("next", {}).get("url")
    assert paged == told


async def test_an_act_that_can_not_be_noted_is_not_done(
    admin: Person, person: Person, http: httpx.AsyncClient, database_url: str
) -> None:
    key = await admin.key("admin")
    execute(database_url, f"REVOKE INSERT ON admin_acts FROM {APP.name}")
    try:
        for method, path, body in (
            ("PATCH", person.path, {"disabled": True, "daily_tokens": 5}),
            ("POST", f"{person.path}/end-sessions", None),
            ("DELETE", person.path, None),
        ):
            failed = await http.request(method, path, json=body, headers=key)
            assert failed.status_code == 500
    finally:
        execute(database_url, f"GRANT INSERT ON admin_acts TO {APP.name}")
    told = (await admin.client.http.get(person.path)).json()
    assert (told["disabled_at"], told["daily_tokens"]) == (None, None)
    assert (await person.client.http.get("/api/chats")).status_code == 200
    assert acts_on(database_url, person.id) == []


@pytest.mark.parametrize(
    "statement", ["UPDATE admin_acts SET act = 'x'", "DELETE FROM admin_acts", "TRUNCATE admin_acts"]
)
async def test_nobody_changes_what_was_noted(admin: Person, database_url: str, statement: str) -> None:
    """Not even the owner of the table, as long as the trigger is there."""
    for url in (database_url, as_app(database_url)):
        with psycopg.connect(url) as connection, pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement.encode())


async def test_an_operator_makes_and_removes_admins_by_commands(
    person: Person, database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", as_app(database_url))

    async def done(name: str, email: str) -> tuple[int, str]:
        code = await asyncio.to_thread(run, ["accounts", name, email])
        told = capsys.readouterr()
        return code, told.out + told.err

    code, told = await done("make-admin", person.email.upper())
    assert (code, told.partition(".")[0]) == (0, "the user is an admin now")
    assert "Nobody has verified this address" in told
    assert (await person.client.http.get(USERS)).status_code == 200
    assert (await done("make-admin", person.email))[1].startswith("the user was an admin already")
    code, told = await done("remove-admin", person.email.upper())
    assert (code, told.partition(";")[0]) == (0, "the user is no admin any more")
    assert (await done("remove-admin", person.email))[1].startswith("the user was no admin;")
    # PostgreSQL's `lower` makes an `i` of this letter: an account of another person's.
    execute(database_url, "UPDATE users SET email = %s WHERE id = %s", f"\u0130{person.email}", person.id)
    assert (await done("make-admin", f"i{person.email}"))[0] == 2
    execute(database_url, "UPDATE users SET email = %s WHERE id = %s", person.email, person.id)
    execute(database_url, "UPDATE users SET email_verified_at = now() WHERE id = %s", person.id)
    assert await done("make-admin", person.email) == (0, "the user is an admin now\n")
    assert (await done("remove-admin", person.email))[0] == 0
    for name in ("make-admin", "remove-admin"):
        code, told = await done(name, "nobody@example.com")
        assert (code, told) == (2, "cortexai: no account has the address nobody@example.com\n")
    acts = "SELECT act, actor_id, credential FROM admin_acts WHERE subject_id = %s ORDER BY id"
    noted = [("admin.made", None, "command"), ("admin.removed", None, "command")] * 2
    assert execute(database_url, acts, person.id) == noted
    execute(database_url, "UPDATE users SET disabled_at = now() WHERE id = %s", person.id)
    code, told = await done("make-admin", person.email)
    assert (code, "is disabled" in told) == (2, True)
    assert execute(database_url, acts, person.id) == noted


async def test_a_second_factor_that_an_operator_resets_is_noted(
    person: Person, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", as_app(database_url))
    assert await asyncio.to_thread(run, ["accounts", "reset-second-factor", person.email]) == 0
    assert acts_on(database_url, person.id) == [("second_factor.reset", None, "command", {"sessions": 1})]
