"""Two users over every route: what is another's is answered as what is not there, and nothing of it is told or changed."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import httpx
import pytest
from cryptography.fernet import Fernet

from services.api.app import create_app
from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from shared.database.engine import open_database
from shared.ids import UserId
from shared.settings import Settings
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.support.clients import PASSWORD, Client, logged_in
from tests.support.data_sources import Source, make_source
from tests.support.operations import proposed
from tests.support.turns import execute
from tests.support.two_users import LISTS, MISSING, NAMELESS, NOW, TRIES, Ids, Try, mixtures

SECRET: Final = "zebrafinch"
"""A word that only the first user has, in all that has words."""
DIFFERS: Final = {"date", "x-request-id", "content-length"}
"""Headers that differ from answer to answer."""
OWNED: Final = (
    ("users", "id = {user}"),
    ("chats", "user_id = {user}"),
    ("conversation_items", "chat_id IN (SELECT id FROM chats WHERE user_id = {user})"),
    ("messages", "chat_id IN (SELECT id FROM chats WHERE user_id = {user})"),
    (
        "message_terms",
        "message_id IN (SELECT id FROM messages WHERE chat_id IN (SELECT id FROM chats WHERE user_id = {user}))",
    ),
    ("memory_segments", "chat_id IN (SELECT id FROM chats WHERE user_id = {user})"),
    ("memory_facts", "user_id = {user}"),
    ("generations", "user_id = {user}"),
    ("model_calls", "user_id = {user}"),
    ("data_sources", "user_id = {user}"),
    ("operations", "user_id = {user}"),
    ("audit_log", "user_id = {user}"),
    ("sessions", "user_id = {user}"),
    ("api_keys", "user_id = {user}"),
    ("refresh_tokens", "session_id IN (SELECT id FROM sessions WHERE user_id = {user})"),
    ("second_factors", "user_id = {user}"),
    ("recovery_codes", "user_id = {user}"),
    ("admin_acts", "{user} IN (subject_id, actor_id)"),
    ("oidc_identities", "user_id = {user}"),
    ("account_mails", "user_id = {user}"),
    ("account_links", "user_id = {user}"),
    ("account_invites", "created_by = {user}"),
)


class Answer(NamedTuple):
    """What a client can tell two answers by, without the numbers in them."""

    status: int
    headers: frozenset[tuple[str, str]]
    body: str


class Person(NamedTuple):
    """A user with one of each thing."""

    client: Client
    user_id: UserId
    ids: Ids


@pytest.fixture(scope="module")
def settings(database_url: str, valkey: EmbeddedValkey) -> Settings:
    return settings_for(
        database_url,
        valkey.url,
        "http://127.0.0.1:1",
        data_source_keys=Fernet.generate_key().decode(),
        data_source_hosts="127.0.0.1",
    )


@pytest.fixture(scope="module")
async def api(settings: Settings) -> AsyncIterator[str]:
    async with serve(settings) as url:
        yield url


@pytest.fixture(scope="module")
def source(postgres: EmbeddedPostgres) -> Source:
    return make_source(postgres)


@pytest.fixture(scope="module")
async def ann(api: str, database_url: str, source: Source) -> AsyncIterator[Person]:
    """The first user."""
    async with logged_in(api) as client:
        client.http.headers["User-Agent"] = SECRET
        yield await furnished(client, database_url, source, SECRET)


@pytest.fixture(scope="module")
async def bob(api: str, database_url: str, source: Source) -> AsyncIterator[Person]:
    """The second user."""
    async with logged_in(api) as client:
        yield await furnished(client, database_url, source, "own")


async def furnished(client: Client, database_url: str, source: Source, word: str) -> Person:
    """A user's things: each of them has the word in it."""
    account = (await client.http.get("/api/auth/me")).json()
    me = UserId(account["id"])
    login = await client.http.post("/api/auth/login", json={"email": account["email"], "password": PASSWORD})
    login.raise_for_status()
    (session, _) = (await client.http.get("/api/auth/sessions")).json()  # the newest first
    told = {"enabled": True, "facts": [{"text": f"{word} fact of all chats", "kind": "identity"}]}
    (await client.http.patch("/api/memory", json=told)).raise_for_status()
    named = await said_by_name(client, word)
    trashed = (await client.http.post("/api/chats", json={"title": f"{word} trash"})).json()["id"]
    (await client.http.post(f"/api/chats/{trashed}/trash")).raise_for_status()
    chat = (await client.http.post("/api/chats", json={"title": f"{word} chat"})).json()["id"]
    key = f"key-{word}"
    posted = (await client.post_async(chat, f"{word} message", headers={**NOW, "Idempotency-Key": key})).json()
    generation = posted["generation"]
    waits = {"role": "user", "content": f"{word} waits"}
    made = await client.http.post("/v1/conversations", json={"metadata": {"word": word}, "items": [waits]})
    conversation = made.raise_for_status().json()["id"]
    (item,) = (await client.http.get(f"/v1/conversations/{conversation}/items")).json()["data"]
    asked = {"model": "double", "input": f"{word} asked", "background": True}
    response = (await client.http.post("/v1/responses", json=asked)).raise_for_status().json()["id"]
    body = {"name": f"{word} base", "reader_url": source.reader_url, "writer_url": source.writer_url}
    source_id = (await client.http.post("/api/data-sources", json=body)).raise_for_status().json()["id"]
    named_key = {"name": f"{word} key", "scopes": ["read"]}
    api_key = (await client.http.post("/api/auth/keys", json=named_key)).raise_for_status().json()["id"]
    database = open_database(database_url, pool_size=1)
    operation = await proposed(database, me, summary=f"{word} operation")
    await database.dispose()
    execute(database_url, "UPDATE operations SET chat_id = %s, call_id = %s WHERE id = %s", chat, word, operation.id)
    ((segment,),) = execute(
        database_url,
        "INSERT INTO memory_segments (chat_id, first_position, last_position, text, kind)"
        " VALUES (%s, 1, 2, %s, 'summary') RETURNING id",
        *(chat, f"{word} segment"),
    )
    facts = execute(
        database_url,
        "INSERT INTO memory_facts (user_id, chat_id, kind, source, text)"
        " SELECT %s, %s, 'identity', 'user', %s || n FROM generate_series(1, 2) AS n RETURNING id",
        *(me, chat, f"{word} fact"),
    )
    ((identity,),) = execute(
        database_url,
        "INSERT INTO oidc_identities (user_id, issuer, subject) VALUES (%s, 'https://login.example', %s) RETURNING id",
        *(me, word),
    )
    ((invite,),) = execute(
        database_url,
        "INSERT INTO account_invites (created_by, expires_at) VALUES (%s, now() + interval '1 day') RETURNING id",
        me,
    )
    ids = {
        "user": me,
        "chat": chat,
        "trashed": trashed,
        "message": posted["message"]["id"],
        "reply": generation["assistant_message_id"],
        "generation": generation["id"],
        "operation": str(operation.id),
        "session": session["id"],
        "source": source_id,
        "api_key": api_key,
        "identity": identity,
        "invite": invite,
        "segment": segment,
        "fact": facts[0][0],
        "shared_fact": facts[1][0],
        "name": named,
        "message_name": f"message-{word}",
        "key": key,
        "call": word,
        "chat_text": str(chat),
        "reply_text": str(generation["assistant_message_id"]),
        "response": response,
        "conversation": conversation,
        "item": item["id"],
        "approval": f"mcpr_{operation.id.hex}",
    }
    return Person(client, me, ids)


async def said_by_name(client: Client, word: str) -> str:
    """Make a chat with a name of the client's own. Returns the name."""
    name = f"name-{word}"
    message = {"id": f"message-{word}", "role": "user", "parts": [{"type": "text", "text": f"{word} said"}]}
    async with client.http.stream("POST", "/api/chat", json={"id": name, "messages": [message]}) as answer:
        answer.raise_for_status()
    return name


async def ask(client: Client, route: str, tried: Try, ids: Ids) -> Answer:
    """Send a request. Of a stream, the headers are the answer."""
    async with client.http.stream(**tried.request(route, ids)) as response:
        streams = response.headers.get("content-type", "").startswith("text/event-stream")
        body = "" if streams else (await response.aread()).decode()
    headers = {(name, plain(value, ids)) for name, value in response.headers.items() if name not in DIFFERS}
    return Answer(response.status_code, frozenset(headers), plain(body, ids))


def plain(text: str, ids: Ids) -> str:
    """A text without ids and numbers."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "<id>", text)
    for name in ("name", "message_name", "key", "call"):
        text = text.replace(ids[name], f"<{name}>")
    return re.sub(r"\d+", "<number>", text)


def rows_of(database_url: str, user_id: UserId) -> dict[str, list[Any]]:
    """All that a user has in the database."""
    found = {}
    for table, which in OWNED:
        statement = f"SELECT t::text FROM {table} t WHERE {which.format(user=int(user_id))} ORDER BY 1"  # noqa: S608 - words of ours
        found[table] = execute(database_url, statement)
    return found


def test_every_route_is_tried_or_takes_no_id(settings: Settings) -> None:
    document = create_app(settings).openapi()
    routes = {
        f"{method.upper()} {path}": told
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    }
    assert routes.keys() == {*TRIES, *NAMELESS, *LISTS}
    for route in NAMELESS.union(LISTS) - TRIES.keys():
        parameters = [parameter["name"] for parameter in routes[route].get("parameters", [])]
        members = re.findall(r'"(\w*_?id)"', json.dumps(routes[route].get("requestBody", {})))
        assert not [name for name in (*parameters, *members) if name.endswith("id")], route


def test_what_a_user_owns_is_in_every_table(database_url: str) -> None:
    tables = execute(database_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {name for (name,) in tables} - {"alembic_version", "deployment"} == {table for table, _ in OWNED}


async def test_what_is_another_users_is_answered_as_what_is_missing(
    ann: Person, bob: Person, database_url: str
) -> None:
    before = rows_of(database_url, ann.user_id)
    assert all(SECRET in str(before[table]) for table in ("chats", "messages", "memory_facts", "data_sources"))
    told_apart = []
    for route, tries in sorted(TRIES.items(), key=lambda item: item[0].startswith(("DELETE", "POST"))):
        for tried in tries:
            for foreign in mixtures(tried.names(route)):
                answers = [
                    await ask(bob.client, route, tried, {**bob.ids, **{name: others[name] for name in foreign}})
                    for others in (ann.ids, MISSING)
                ]
                if answers[0] != answers[1] or SECRET in str(answers):
                    told_apart.append((route, tried, foreign, *answers))
    assert not told_apart, "\n".join(map(str, told_apart))
    after = rows_of(database_url, ann.user_id)
    assert {table: rows for table, rows in after.items() if rows != before[table]} == {}


@pytest.mark.parametrize("route", LISTS)
async def test_a_list_tells_nothing_of_another_user(ann: Person, bob: Person, route: str) -> None:
    url = route.removeprefix("GET ")
    params = {"q": SECRET} if url.endswith("search") else {}
    async with bob.client.http.stream("GET", url, params=params) as response:
        streams = response.headers["content-type"].startswith("text/event-stream")
        told = "" if streams else (await response.aread()).decode()
    assert response.status_code == httpx.codes.OK
    assert SECRET not in told
    assert not any(str(ann.ids[name]) in told for name in ("generation", "operation"))


async def test_what_a_user_deletes_is_the_users_own(ann: Person, bob: Person, database_url: str) -> None:
    before = rows_of(database_url, ann.user_id)
    for path in ("/api/memory", "/api/auth/me"):
        (await bob.client.http.delete(path)).raise_for_status()
    assert rows_of(database_url, ann.user_id) == before


async def test_the_owner_is_answered_otherwise(ann: Person) -> None:
    """Or nothing would be shown: the requests find what is there."""
    same = []
    ends_sessions = "DELETE /api/auth/identities"
    first, last = "PATCH /api/memory", ("POST /api/chats/{chat_id}/trash", "DELETE")
    for route, tries in sorted(
        TRIES.items(),
        key=lambda item: (item[0].startswith(ends_sessions), item[0].startswith(last), item[0] != first, -len(item[0])),
    ):
        for tried in tries:
            mine, missing = [await ask(ann.client, route, tried, ids) for ids in (ann.ids, MISSING)]
            if mine == missing and not tried.alike:
                same.append((route, tried, mine))
    assert not same, "\n".join(map(str, same))
