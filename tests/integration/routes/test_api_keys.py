"""API keys: how a person makes and ends them, and what a program may do with one."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import SQLAlchemyError

from services.api.accounts.key_queries import MAX_KEYS, add_key
from services.api.auth.api_keys import find_live_keys, note_uses
from services.api.auth.key_format import new_key
from services.api.auth.key_lookup import KeyLookup
from services.launcher.embedded.valkey import EmbeddedValkey
from shared.database.engine import Database, open_database
from shared.database_urls import to_sqlalchemy
from shared.errors import KeyInvalid, TooManyKeys
from shared.ids import UserId
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.integration.routes.test_principal import SECURED, endless, refusal_in
from tests.support.api_keys import by_key, made_key
from tests.support.clients import Client, logged_in, refusal_of
from tests.support.signed_in import logged_in_browser
from tests.support.turns import execute

MEMBERS = {"id", "name", "shown", "scopes", "created_at", "expires_at", "last_used_at"}
ONLY_FOR_PEOPLE = [
    (method, path) for method, path in SECURED if path.startswith("/api/auth/") and path != "/api/auth/me"
] + [(method, path) for method, path in SECURED if path == "/api/auth/me" and method != "GET"]
FOR_ADMINS = [(method, path) for method, path in SECURED if path.startswith("/api/admin/")]
FOR_KEYS = [route for route in SECURED if route not in ONLY_FOR_PEOPLE]
REFUSALS = {(403, "scope_missing"), (403, "credential_not_allowed"), (401, "key_invalid"), (401, "unauthenticated")}


async def answer_of(http: httpx.AsyncClient, method: str, path: str, key: str) -> tuple[int, str]:
    """The status of an answer, and its code where it is a refusal. A stream is not read."""
    async with http.stream(method, path, headers=by_key(key), json=None if method == "GET" else {}) as response:
        if response.status_code < 400:
            return response.status_code, ""
        await response.aread()
        return refusal_of(response)


@pytest.fixture
async def owner(api: str) -> AsyncIterator[Client]:
    """A new user."""
    async with logged_in(api) as client:
        yield client


@pytest.fixture(scope="module")
async def strict_api(database_url: str, valkey: EmbeddedValkey) -> AsyncIterator[str]:
    """An API that takes two messages a minute, and looks often whether the readers of feeds may still read."""
    few = {"user_messages_per_minute": 2, "stream_keep_alive_seconds": 0.1}
    async with serve(settings_for(database_url, valkey.url, "http://127.0.0.1:1", **few)) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Connections of another process."""
    database = open_database(to_sqlalchemy(database_url), pool_size=10)
    yield database
    await database.dispose()


async def test_a_key_is_shown_once_and_only_its_hash_is_kept(owner: Client, database_url: str) -> None:
    response = await owner.http.post("/api/auth/keys", json={"name": "Robot", "scopes": ["chat", "read"]})
    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "no-store"
    made = response.json()
    key = made.pop("key")
    assert made.keys() == MEMBERS
    assert (made["name"], made["shown"], made["scopes"]) == ("Robot", key[:8], ["read", "chat"])
    assert (await owner.http.get("/api/auth/keys")).json() == [made]
    (kept,) = execute(database_url, "SELECT key_hash, api_keys::text FROM api_keys WHERE id = %s", made["id"])
    assert kept[0] == hashlib.sha256(key.encode()).digest()
    assert key[8:] not in str(kept[1])


async def test_a_program_reads_writes_and_streams_with_a_key(owner: Client, http: httpx.AsyncClient) -> None:
    key = (await made_key(owner, "chat"))["key"]
    chat = (await http.post("/api/chats", headers=by_key(key))).raise_for_status().json()["id"]
    later = {**by_key(key), "Prefer": "respond-async"}
    posted = await http.post(f"/api/chats/{chat}/messages", json={"content": "Hello"}, headers=later)
    assert posted.status_code == 202
    reader = (await made_key(owner, "read"))["key"]
    assert (await http.get(f"/api/chats/{chat}", headers=by_key(reader))).json()["id"] == chat
    assert (await answer_of(http, "GET", posted.json()["stream_url"], reader)) == (200, "")
    me = await http.get("/api/auth/me", headers=by_key(reader))
    assert me.json() == (await owner.http.get("/api/auth/me")).json()


def test_keys_are_for_all_routes_but_those_of_credentials() -> None:
    assert ("GET", "/api/auth/me") in FOR_KEYS
    assert {path for _, path in ONLY_FOR_PEOPLE} >= {"/api/auth/keys", "/api/auth/keys/1", "/api/auth/stream-ticket"}
    assert len(FOR_KEYS) > 40


async def test_every_route_asks_a_key_for_its_scope(owner: Client, http: httpx.AsyncClient) -> None:
    """By its method: no route has to say it, and none can forget to."""
    keys = {scope: (await made_key(owner, scope))["key"] for scope in ("read", "chat")}
    for method, path in SECURED:
        for scope, key in keys.items():
            answer = await answer_of(http, method, path, key)
            if (method, path) in ONLY_FOR_PEOPLE:
                assert answer == (403, "credential_not_allowed"), (method, path)
            elif (method, path) in FOR_ADMINS or ((method, scope) != ("GET", "read") and scope == "read"):
                assert answer == (403, "scope_missing"), (method, path)
            else:
                assert answer not in REFUSALS, (method, path, scope)


async def test_what_a_key_may_not_do_is_refused_before_the_body_is_read(owner: Client, api: str) -> None:
    key = (await made_key(owner, "read"))["key"]
    for method, path in SECURED:
        if method != "GET":
            async with endless(api, method, path, f"Authorization: Bearer {key}") as answer, asyncio.timeout(2):
                head, code = await refusal_in(answer)
            assert head.startswith(b"HTTP/1.1 403 "), path
            assert code in {"scope_missing", "credential_not_allowed"}, path


async def test_a_key_without_the_scope_is_told_which_one_it_needs(owner: Client, http: httpx.AsyncClient) -> None:
    """Source: RFC 6750, section 3.1."""
    refused = await http.post("/api/chats", headers=by_key((await made_key(owner, "read"))["key"]))
    assert refusal_of(refused) == (403, "scope_missing")
    assert refused.json()["detail"].endswith("needs: chat.")
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="cortexai", error="insufficient_scope", scope="chat"'


async def test_a_key_makes_lists_and_ends_no_keys(owner: Client, http: httpx.AsyncClient) -> None:
    made = await made_key(owner, "chat")
    for method, path in (("POST", ""), ("GET", ""), ("PATCH", f"/{made['id']}"), ("DELETE", f"/{made['id']}")):
        assert await answer_of(http, method, f"/api/auth/keys{path}", made["key"]) == (403, "credential_not_allowed")
    assert len((await owner.http.get("/api/auth/keys")).json()) == 1
    browser = await logged_in_browser(http)
    assert (await browser.post("/api/auth/keys", json={"name": "Robot", "scopes": ["read"]})).status_code == 201


async def test_a_key_that_is_no_more_is_told_as_one_that_never_was(
    owner: Client, api: str, http: httpx.AsyncClient, database_url: str
) -> None:
    deleted, expired = await made_key(owner), await made_key(owner)
    for made in (deleted, expired):
        assert (await http.get("/api/chats", headers=by_key(made["key"]))).status_code == 200
    assert (await owner.http.delete(f"/api/auth/keys/{deleted['id']}")).status_code == 204
    execute(database_url, "UPDATE api_keys SET expires_at = now() WHERE id = %s", expired["id"])
    async with logged_in(api) as gone:
        orphan = (await made_key(gone))["key"]
        (await gone.http.delete("/api/auth/me")).raise_for_status()
    told = set()
    for key in (deleted["key"], expired["key"], orphan, new_key(), "ck_nonsense", "ck_", new_key()[:-1]):
        for method, path in (("GET", "/api/chats"), ("POST", "/api/auth/keys"), ("GET", "/api/events")):
            refused = await http.request(method, path, headers=by_key(key))
            assert refusal_of(refused) == (401, "key_invalid")
            told.add((refused.content, refused.headers["WWW-Authenticate"]))
    ((_, challenge),) = told
    assert 'error="invalid_token"' in challenge
    assert [listed["id"] for listed in (await owner.http.get("/api/auth/keys")).json()] == [expired["id"]]


async def test_a_wrong_key_is_refused_also_beside_a_good_cookie(http: httpx.AsyncClient, owner: Client) -> None:
    browser, chat = await logged_in_browser(http), await owner.new_chat()
    assert refusal_of(await browser.get("/api/auth/me", headers=by_key(new_key()))) == (401, "key_invalid")
    key = (await made_key(owner))["key"]
    for scheme in ("bearer", "BEARER"):
        assert (await http.get("/api/auth/me", headers={"Authorization": f"{scheme}  {key}"})).status_code == 200
    assert refusal_of(await http.get("/api/auth/me", headers={"X-Api-Key": key})) == (401, "unauthenticated")
    assert refusal_of(await http.get(f"/api/chats/{chat}/stream?ticket={key}")) == (401, "ticket_invalid")
    cookie = {"Cookie": f"__Host-cortexai={key}"}
    assert refusal_of(await http.get("/api/auth/me", headers=cookie)) == (401, "session_invalid")


async def test_what_can_be_no_key_never_reaches_the_database() -> None:
    nowhere = open_database("postgresql+psycopg://127.0.0.1:1/nowhere", pool_size=1)
    lookup, key = KeyLookup(nowhere), new_key()
    for text in ("ck_", key[:-1], key[:20] + ("x" if key[20] != "x" else "y") + key[21:], "ck_" + "0" * 49):
        with pytest.raises(KeyInvalid):
            await lookup.find(text)
    with pytest.raises(SQLAlchemyError):
        await lookup.find(key)
    await nowhere.dispose()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": ["read"]}, "name"),
        ({"name": "", "scopes": ["read"]}, "name"),
        ({"name": " \u200b ", "scopes": ["read"]}, "name"),
        ({"name": "x" * 101, "scopes": ["read"]}, "name"),
        ({"name": "a\0b", "scopes": ["read"]}, "name"),
        ({"name": "Robot"}, "scopes"),
        ({"name": "Robot", "scopes": []}, "scopes"),
        ({"name": "Robot", "scopes": "read"}, "scopes"),
        ({"name": "Robot", "scopes": ["write"]}, "scopes.0"),
        ({"name": "Robot", "scopes": ["read"] * 4}, "scopes"),
        *(({"name": "Robot", "scopes": ["read"], "expires_in_days": days}, "expires_in_days")
          for days in (0, -1, 3651, 1.5, "5", True)),
        ({"name": "Robot", "scopes": ["read"], "user_id": 1}, "user_id"),
    ],
)  # fmt: skip
async def test_a_key_that_can_not_be_made_is_refused_by_its_fields_name(
    user: Client, body: dict[str, Any], field: str
) -> None:
    refused = await user.http.post("/api/auth/keys", json=body)
    assert (*refusal_of(refused), refused.json()["field"]) == (422, "validation_failed", field)


async def test_nobody_gives_a_key_what_only_admins_may_do(owner: Client) -> None:
    refused = await owner.http.post("/api/auth/keys", json={"name": "Robot", "scopes": ["read", "admin"]})
    assert (*refusal_of(refused), refused.json()["field"]) == (422, "scope_not_allowed", "scopes")
    assert (await owner.http.get("/api/auth/keys")).json() == []


@pytest.mark.parametrize(("more", "days"), [({}, 90), ({"expires_in_days": 1}, 1), ({"expires_in_days": 3650}, 3650)])
async def test_a_key_lasts_for_so_many_days(user: Client, more: dict[str, int], days: int) -> None:
    made = await made_key(user, **more)
    lasts = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert abs(lasts - timedelta(days=days)) < timedelta(minutes=1)


async def test_a_key_may_last_for_ever(user: Client, http: httpx.AsyncClient) -> None:
    made = await made_key(user, expires_in_days=None)
    assert made["expires_at"] is None
    assert (await http.get("/api/chats", headers=by_key(made["key"]))).status_code == 200


async def test_a_key_gets_another_name_and_stays_as_it_is(owner: Client, http: httpx.AsyncClient) -> None:
    made = await made_key(owner)
    key = made.pop("key")
    changed = await owner.http.patch(f"/api/auth/keys/{made['id']}", json={"name": "  Nightly\nreport "})
    assert changed.json() == {**made, "name": "Nightly report"}
    assert (await http.get("/api/chats", headers=by_key(key))).status_code == 200
    refused = await owner.http.patch(f"/api/auth/keys/{made['id']}", json={"name": "x", "scopes": ["read"]})
    assert (refused.status_code, refused.json()["field"]) == (422, "scopes")


async def test_a_user_has_so_many_keys(owner: Client, database: Database, database_url: str) -> None:
    user = UserId((await owner.http.get("/api/auth/me")).json()["id"])

    async def make() -> bool:
        async with database.begin() as db:
            try:
                await add_key(db, user, new_key(), name="Robot", scopes=["read"], lifetime=None)
            except TooManyKeys:
                return False
            return True

    assert sum(await asyncio.gather(*(make() for _ in range(MAX_KEYS + 10)))) == MAX_KEYS
    assert execute(database_url, "SELECT count(*) FROM api_keys WHERE user_id = %s", user) == [(MAX_KEYS,)]
    refused = await owner.http.post("/api/auth/keys", json={"name": "Robot", "scopes": ["read"]})
    assert refusal_of(refused) == (409, "too_many_keys")
    newest = (await owner.http.get("/api/auth/keys")).json()[0]["id"]
    (await owner.http.delete(f"/api/auth/keys/{newest}")).raise_for_status()
    await made_key(owner)


async def test_the_last_use_of_a_key_is_noted_and_seldom_written(
    owner: Client, database: Database, database_url: str
) -> None:
    made = await made_key(owner)
    key, key_id = made["key"], made["id"]
    lookup = KeyLookup(database)

    def state() -> tuple[object, ...]:
        (row,) = execute(
            database_url,
            "SELECT last_used_at > now() - interval '1 minute', xmin::text FROM api_keys WHERE id = %s",
            key_id,
        )
        return row

    assert made["last_used_at"] is None
    for minutes, is_written in ((None, True), (4, False), (6, True)):
        last_used = "now() - make_interval(mins => %s)"
        execute(database_url, f"UPDATE api_keys SET last_used_at = {last_used} WHERE id = %s", minutes, key_id)  # noqa: S608 - ours
        before = state()
        found = await asyncio.gather(*(lookup.find(key) for _ in range(100)))
        await lookup.finish()
        assert {row.id for row in found} == {key_id}
        assert (state() != before) is is_written
    written = state()
    assert written[0] is True
    async with database.connect() as db:  # as another process, which found it due before this one noted it
        await note_uses(db, [key_id])
    assert state() == written


async def test_of_some_keys_those_are_live_that_are_good(owner: Client, database: Database, database_url: str) -> None:
    live, unlimited, expired, deleted = [
        (await made_key(owner, expires_in_days=days))["id"] for days in (90, None, 90, 90)
    ]
    execute(database_url, "UPDATE api_keys SET expires_at = now() WHERE id = %s", expired)
    execute(database_url, "DELETE FROM api_keys WHERE id = %s", deleted)
    async with database.connect() as db:
        assert await find_live_keys(db, [live, unlimited, expired, deleted, 2**62]) == {live, unlimited}
        assert await find_live_keys(db, []) == set()


async def test_a_users_limits_hold_whatever_the_credential_is(strict_api: str) -> None:
    async with logged_in(strict_api) as owner:
        keys = [(await made_key(owner))["key"] for _ in range(2)]
        chat = await owner.new_chat()
        answers = [
            await owner.post_async(chat, "Hello", headers=headers, on_conflict="interrupt")
            for headers in ({}, by_key(keys[0]), by_key(keys[1]))
        ]
    assert [answer.status_code for answer in answers] == [202, 202, 429]


async def test_no_api_key_is_ever_logged(
    owner: Client, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("httpx", "httpcore"):  # the client's, which is the test's
        caplog.set_level("CRITICAL", name)
    caplog.set_level("DEBUG")
    made = await made_key(owner, "read")
    key, unknown = made["key"], new_key()
    for each in (key, unknown, key[:-1]):
        for method, path in (("GET", "/api/chats"), ("POST", "/api/chats"), ("GET", "/api/auth/keys"), ("GET", "/no")):
            await http.request(method, path, headers=by_key(each))
        for query in ("ticket", "key", "after"):
            await http.get(f"/api/events?{query}={each}")
        await http.post("/api/auth/login", json={"email": each, "password": each})
    (await owner.http.delete(f"/api/auth/keys/{made['id']}")).raise_for_status()
    assert "/api/auth/keys" in caplog.text
    for each in (key, unknown):
        assert each[8:40] not in caplog.text
