"""Whatever a model does for whoever misleads it: nothing is changed, nothing gets out, nobody else is reached."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from cryptography.fernet import Fernet
from psycopg import sql

from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.runtime import Worker
from services.worker.tools.port import ChatContext, Json
from shared.ids import ChatId, UserId
from shared.settings import Settings
from tests.conftest import settings_for
from tests.doubles import groq_control, tavily_control
from tests.support.clients import Client
from tests.support.hostile_requests import CARD, ORDER, SECRET, Request, World, hostile_requests
from tests.support.turns import Posted, execute, post

SANDBOXES = "sandbox"
OFFERED = {"db_schema", "db_query", "db_propose_write", "chats_search", "chats_delete", "chat_rename", "web_search"}
SANDBOX = """
SELECT (SELECT string_agg(concat_ws(' ', c.oid, c.relname, c.relkind, c.relacl::text), ',' ORDER BY c.oid)
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = {name}),
       (SELECT string_agg(t::text, ',' ORDER BY id) FROM {schema}.customers AS t),
       (SELECT string_agg(t::text, ',' ORDER BY id) FROM {schema}.products AS t),
       (SELECT string_agg(t::text, ',' ORDER BY id) FROM {schema}.orders AS t),
       (SELECT string_agg(t::text, ',' ORDER BY order_id, product_id) FROM {schema}.order_items AS t)
"""
APPLICATION = """
SELECT (SELECT string_agg(concat_ws(' ', id, email, password_hash), ',' ORDER BY id) FROM users),
       (SELECT string_agg(concat_ws(' ', id, user_id, name, reader_url, writer_url), ',' ORDER BY id) FROM data_sources),
       (SELECT string_agg(concat_ws(' ', id, title, deleted_at), ',' ORDER BY id) FROM chats WHERE title IN ('Mine', 'Theirs')),
       (SELECT count(*) FROM operations WHERE status NOT IN ('proposed', 'refused')),
       (SELECT count(*) FROM audit_log WHERE action NOT IN
           ('data_source.added', 'query.run', 'preview.run', 'operation.proposed', 'operation.refused'))
"""


@pytest.fixture
def settings(
    database_url: str, valkey: EmbeddedValkey, groq_url: str, tavily_url: str, postgres: EmbeddedPostgres
) -> Settings:
    """With data sources, sandboxes and the web search."""
    return settings_for(
        database_url,
        valkey.url,
        groq_url,
        data_source_keys=Fernet.generate_key().decode(),
        sandbox_database_url=postgres.url_of(SANDBOXES),
        tavily_api_key="tvly-test",
        tavily_base_url=tavily_url,
        tools=Settings.model_fields["tools"].default,
    )


@pytest.fixture
async def owner(postgres: EmbeddedPostgres, client: Client) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A superuser in the sandboxes' database."""
    (await client.http.post("/api/data-sources/sandbox")).raise_for_status()
    async with await psycopg.AsyncConnection.connect(postgres.url_of(SANDBOXES), autocommit=True) as connection:
        yield connection


async def sandbox(client: Client) -> tuple[int, str]:
    """The user's sandbox: its id, and its schema."""
    source: int = (await client.http.post("/api/data-sources/sandbox")).raise_for_status().json()["id"]
    tables = (await client.http.get(f"/api/data-sources/{source}/schema")).raise_for_status().json()["tables"]
    return source, tables[0]["schema"]


async def state(owner: psycopg.AsyncConnection[Any], schemas: list[str], database_url: str) -> list[object]:
    """All that could have been harmed."""
    found: list[object] = []
    for schema in schemas:
        look = sql.SQL(SANDBOX).format(name=schema, schema=sql.Identifier(schema))
        found.append(await (await owner.execute(look)).fetchall())
    return [*found, execute(database_url, APPLICATION)]


def owner_of(database_url: str, source: int) -> UserId:
    """Whose data source it is."""
    ((user,),) = execute(database_url, "SELECT user_id FROM data_sources WHERE id = %s", source)
    assert isinstance(user, int)
    return UserId(user)


async def through_the_model(client: Client, worker: Worker, groq_url: str, request: Request) -> str:
    """Ask, and have the model make the calls, as far as it gets. Returns all that the model was told."""
    mark = uuid4().hex
    for step, (name, arguments) in enumerate(request.calls, start=1):
        behaviour = f"tool={name} steps={step}"
        await groq_control.script(groq_url, behaviour, marker=mark, arguments=arguments, purpose="answer")
    posted = await post(client, f"{request.words} {mark} [[tokens=1]]")
    await worker.attempts.run(posted.generation_id)
    asked = await groq_control.requests(groq_url, containing=mark, arrived=len(request.calls))
    (await client.http.post(f"/api/chats/{posted.chat_id}/stop")).raise_for_status()
    return json.dumps([one["body"] for one in asked])


async def directly(worker: Worker, me: UserId, posted: Posted, call_id: str, name: str, arguments: Json) -> str:
    """Make one call, of which the model would be told nothing before. Returns what it would be told."""
    chat = ChatContext(me, ChatId(posted.chat_id), 0, posted.generation_id, has_sources=True)
    tools = worker.attempts.answer_loop.tools.in_chat(chat)
    assert {tool.name for tool in tools.descriptions} >= OFFERED
    return repr(await tools.call(name, arguments, call_id))


async def test_no_request_in_words_does_harm(
    client: Client,
    connect: Any,  # noqa: ANN401 - the fixture's
    worker: Worker,
    owner: psycopg.AsyncConnection[Any],
    groq_url: str,
    tavily_url: str,
    database_url: str,
) -> None:
    other: Client = connect()
    await other.sign_up()
    (source, mine), (others_source, theirs) = await sandbox(client), await sandbox(other)
    plant = sql.SQL("UPDATE {} SET name = %s, email = %s WHERE id = 1")
    await owner.execute(plant.format(sql.Identifier(mine, "customers")), [ORDER, CARD])
    await owner.execute(plant.format(sql.Identifier(theirs, "customers")), [SECRET, SECRET])
    chats = {}
    for one, title in ((client, "Mine"), (other, "Theirs")):
        chats[title] = (await one.http.post("/api/chats", json={"title": title})).raise_for_status().json()["id"]
    await client.http.post("/api/chats", json={"title": f"About {CARD}"})
    execute(database_url, "UPDATE chats SET has_rows = true WHERE title LIKE 'About%%'")
    proposal = {"sql": "DELETE FROM order_items WHERE order_id = 1"}
    waits = (await client.http.post(f"/api/data-sources/{source}/operations", json=proposal)).raise_for_status().json()
    me, user = (owner_of(database_url, one) for one in (source, others_source))
    world = World(source, chats["Mine"], user, others_source, theirs, chats["Theirs"], waits["id"])
    requests = hostile_requests(world)
    assert len(requests) >= 40
    before = await state(owner, [mine, theirs], database_url)
    posted = await post(client, "Whatever is called here directly. [[tokens=1]]")
    for number, request in enumerate(requests):
        if len(request.calls) > 1:
            told = await through_the_model(client, worker, groq_url, request)
        else:
            told = await directly(worker, me, posted, f"call_{number}", *request.calls[0])
        assert SECRET not in told, request
        assert await state(owner, [mine, theirs], database_url) == before, request
    asked_before = execute(
        database_url, "SELECT count(*) FROM operations WHERE kind = 'tool_call' AND status = 'refused'"
    )
    assert asked_before == [(sum(request.calls[-1][0] == "web_search" for request in requests),)]
    assert await tavily_control.searches(tavily_url, containing=CARD) == []
    assert (await client.http.get(f"/api/operations/{waits['id']}")).json()["status"] == "proposed"
