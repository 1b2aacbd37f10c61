"""Plain language becomes a previewed, approved and undoable change: scripted conversations over the sandbox."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.fernet import Fernet

from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.runtime import Worker
from shared.ids import OperationId
from shared.settings import Settings
from tests.conftest import settings_for
from tests.doubles import groq_control, tavily_control
from tests.support.clients import Client, Event, text_of, types_of
from tests.support.feeds import ready_tab
from tests.support.turns import Noted, Posted, answer, execute, open_worker_for, post

ASKED = "SELECT status, count(*) AS orders FROM orders GROUP BY status ORDER BY status"
RAISE = "UPDATE products SET price = price + 1 WHERE id = 1"
PRICE = "SELECT price FROM products WHERE id = 1"
KEY = Fernet.generate_key().decode()


@pytest.fixture
def settings(
    database_url: str, valkey: EmbeddedValkey, groq_url: str, tavily_url: str, postgres: EmbeddedPostgres
) -> Settings:
    """With a key for data sources, a place for sandboxes, and a key for the web search."""
    return settings_for(
        database_url,
        valkey.url,
        groq_url,
        tools=Settings.model_fields["tools"].default,
        data_source_keys=KEY,
        sandbox_database_url=postgres.url_of("sandbox"),
        tavily_api_key="tvly-test",
        tavily_base_url=tavily_url,
    )


@pytest.fixture
async def sandbox(client: Client) -> int:
    """The user's sandbox."""
    made = (await client.http.post("/api/data-sources/sandbox")).raise_for_status().json()
    source_id: int = made["id"]
    return source_id


async def script(groq_url: str, mark: str, *calls: tuple[str, dict[str, Any]]) -> None:
    """Have the model make these calls one after the other, and then answer."""
    for step, (name, arguments) in enumerate(calls, start=1):
        await groq_control.script(
            groq_url, f"tool={name} steps={step}", marker=mark, arguments=arguments, purpose="answer"
        )


async def value(client: Client, source: int, sql: str) -> Any:  # noqa: ANN401 - whatever the database holds
    """What a query for one value gives."""
    result = (await client.http.post(f"/api/data-sources/{source}/query", json={"sql": sql})).raise_for_status()
    return result.json()["rows"][0][0]


def outputs(events: list[Event]) -> dict[str, Any]:
    """What the tools gave, by their names."""
    names = {
        event.part["toolCallId"]: event.part["toolName"]
        for event in events
        if event.part["type"] == "tool-input-available"
    }
    return {
        names[event.part["toolCallId"]]: event.part["output"]
        for event in events
        if event.part["type"] == "tool-output-available"
    }


@asynccontextmanager
async def deciding(
    client: Client, worker: Worker, posted: Posted, decide: Callable[[dict[str, Any]], Any]
) -> AsyncIterator[list[Event]]:
    """All events of an answer that proposes. `decide` gets each operation that is proposed, and the worker does what follows."""
    events: list[Event] = []
    async with client.read(posted.stream_url) as stream:
        working = asyncio.create_task(worker.attempts.run(posted.generation_id))
        async for event in stream.events():
            events.append(event)
            if event.part["type"] == "data-approval" and event.part["data"]["status"] == "proposed":
                await working
                operation = (await client.http.get(f"/api/operations/{event.part['id']}")).raise_for_status().json()
                await decide(operation)
                await worker.commits.commit(OperationId(UUID(operation["id"])))
                working = asyncio.create_task(worker.attempts.run(posted.generation_id))
        await working
    yield events


def approving(client: Client, shown: list[dict[str, Any]]) -> Callable[[dict[str, Any]], Any]:
    """Approve, and note what was shown."""

    async def decide(operation: dict[str, Any]) -> None:
        shown.append(operation)
        path = f"/api/operations/{operation['id']}/approve"
        approved = await client.http.post(
            path, json={"digest": operation["digest"]}, headers={"Prefer": "respond-async"}
        )
        approved.raise_for_status()

    return decide


async def test_a_question_is_answered_with_rows_and_a_chart(
    client: Client, worker: Worker, groq_url: str, sandbox: int
) -> None:
    mark = uuid4().hex
    chart = {"kind": "bar", "x": "status", "y": ["orders"]}
    asked = {"source": sandbox, "sql": ASKED, "purpose": "Orders by status", "chart": chart}
    await script(groq_url, mark, ("db_sources", {}), ("db_schema", {"source": sandbox}), ("db_query", asked))
    posted, events = await answer(client, worker, f"{mark} [[tokens=3]]")
    given = outputs(events)
    assert given["db_sources"]["databases"] == [
        {"id": sandbox, "name": "Sandbox", "kind": "sandbox", "can_be_changed": True}
    ]
    assert any(name.endswith(".orders") for name in given["db_schema"]["tables"])
    shown = given["db_query"]
    assert (shown["sql"], shown["purpose"], shown["chart"], shown["cut"]) == (ASKED, "Orders by status", chart, False)
    assert [column["name"] for column in shown["columns"]] == ["status", "orders"]
    assert shown["rows"]
    *_, last = await groq_control.requests(groq_url, containing=mark, ended=4)
    told = last["body"]["messages"][-1]["content"]
    assert json.dumps(shown["rows"][0]) in json.loads(told[told.index("[") :])[0]["content"]
    assert types_of(events)[-1] == "finish"
    entries = (await client.http.get("/api/audit")).raise_for_status().json()
    assert [entry["details"]["statement"] for entry in entries if entry["action"] == "query.run"] == [ASKED]
    assert (await client.messages(posted.chat_id))[-1]["status"] == "completed"


async def test_a_command_is_previewed_approved_committed_told_and_undone(
    client: Client, worker: Worker, groq_url: str, sandbox: int, noted: Noted
) -> None:
    mark = uuid4().hex
    before = float(await value(client, sandbox, PRICE))
    change = {"source": sandbox, "sql": RAISE, "summary": "Raise the first product's price by 1."}
    await script(groq_url, mark, ("db_propose_write", change))
    posted = await post(client, f"{mark} [[tokens=3]]")
    shown: list[dict[str, Any]] = []
    async with deciding(client, worker, posted, approving(client, shown)) as events:
        pass
    (operation,) = shown
    (row,) = operation["preview"]["rows"]
    assert (float(row["before"]["price"]), float(row["after"]["price"])) == (before, before + 1)
    assert (operation["summary"], operation["statement"]) == (change["summary"], RAISE)
    assert float(await value(client, sandbox, PRICE)) == before + 1
    assert outputs(events)["db_propose_write"] == {"operation": operation["id"], "status": "committed"}
    told = [event.part["data"]["status"] for event in events if event.part["type"] == "data-approval"]
    assert told == ["proposed", "committed"]
    assert types_of(events)[-1] == "finish"
    *_, last = await groq_control.requests(groq_url, containing=mark, ended=2)
    told = last["body"]["messages"][-1]["content"]
    (record,) = json.loads(told[told.index("[") :])
    assert (record["counts"]["updated"], record["cut"]) == (1, False)
    assert json.loads(record["content"]) == {side: row[side] for side in ("before", "after")}

    undo = (await client.http.post(f"/api/operations/{operation['id']}/undo")).raise_for_status().json()
    await approving(client, shown)(undo)
    await worker.commits.commit(OperationId(UUID(undo["id"])))
    assert float(await value(client, sandbox, PRICE)) == before
    actions = [entry["action"] for entry in (await client.http.get("/api/audit")).raise_for_status().json()]
    assert [action for action in reversed(actions) if action.startswith("operation")] == [
        *("operation.proposed", "operation.approved", "operation.committed"),
        *("operation.proposed", "operation.approved", "operation.committed"),
    ]
    assert posted.generation_id in noted.generations


async def test_a_model_is_told_the_first_of_many_changed_rows(
    client: Client, worker: Worker, groq_url: str, sandbox: int, database_url: str
) -> None:
    mark = uuid4().hex
    sql = "UPDATE customers SET name = 'NAME' WHERE id > 0".replace("NAME", "x" * 1000)
    await script(groq_url, mark, ("db_propose_write", {"source": sandbox, "sql": sql, "summary": "Rename all."}))
    posted = await post(client, f"{mark} [[tokens=3]]")
    shown: list[dict[str, Any]] = []
    async with deciding(client, worker, posted, approving(client, shown)):
        pass
    ((steps, changed),) = execute(
        database_url,
        "SELECT length(g.steps::text), length(o.result::text) FROM operations o JOIN generations g ON g.id = generation_id",
    )
    assert isinstance(changed, int)
    assert isinstance(steps, int)
    assert changed > steps
    assert steps < 20_000
    *_, last = await groq_control.requests(groq_url, containing=mark, ended=2)
    told = last["body"]["messages"][-1]["content"]
    (record,) = json.loads(told[told.index("[") :])
    assert record["counts"]["updated"] == len(shown[0]["preview"]["rows"]) > 20
    assert record["cut"]


async def test_a_refused_change_changes_nothing_and_the_model_is_told(
    client: Client, worker: Worker, groq_url: str, sandbox: int
) -> None:
    mark = uuid4().hex
    before = await value(client, sandbox, PRICE)
    await script(groq_url, mark, ("db_propose_write", {"source": sandbox, "sql": RAISE, "summary": "Raise it."}))
    posted = await post(client, f"{mark} [[tokens=3]]")

    async def refuse(operation: dict[str, Any]) -> None:
        (await client.http.post(f"/api/operations/{operation['id']}/refuse")).raise_for_status()

    async with deciding(client, worker, posted, refuse) as events:
        pass
    assert "tool-output-error" in types_of(events)
    assert await value(client, sandbox, PRICE) == before
    *_, last = await groq_control.requests(groq_url, containing=mark, ended=2)
    assert "refused" in last["body"]["messages"][-1]["content"]


BEFORE_DELETION = {
    "proposed": ("refused", "disconnected the database, and nothing was changed"),
    "refused": ("refused", "A person refused this"),
    "committed": ("committed", "has been done. Then the person has disconnected"),
}
"""What a model is told of an operation whose data source is deleted in this status, and how the operation ended."""


@pytest.mark.parametrize("before", BEFORE_DELETION)
async def test_a_model_is_told_what_became_of_its_change_before_the_database_was_disconnected(
    client: Client, worker: Worker, groq_url: str, sandbox: int, before: str
) -> None:
    mark, (status, told) = uuid4().hex, BEFORE_DELETION[before]
    await script(groq_url, mark, ("db_propose_write", {"source": sandbox, "sql": RAISE, "summary": "Raise it."}))
    posted = await post(client, f"{mark} [[tokens=3]]")

    async def disconnect(operation: dict[str, Any]) -> None:
        if before == "committed":
            await approving(client, [])(operation)
            await worker.commits.commit(OperationId(UUID(operation["id"])))
        if before == "refused":
            (await client.http.post(f"/api/operations/{operation['id']}/refuse")).raise_for_status()
        (await client.http.delete(f"/api/data-sources/{sandbox}")).raise_for_status()

    async with ready_tab(client) as tab:
        async with deciding(client, worker, posted, disconnect) as events:
            pass
        await tab.until("operation.changed", status=status)
        await tab.until("data_source.changed", data_source_id=sandbox)
        await tab.until("generation.status", status="completed")
    shown = [event.part["data"]["status"] for event in events if event.part["type"] == "data-approval"]
    assert shown == ["proposed", status]
    *_, last = await groq_control.requests(groq_url, containing=mark, ended=2)
    assert told in last["body"]["messages"][-1]["content"]
    entries = (await client.http.get("/api/audit")).raise_for_status().json()
    assert [entry["action"] for entry in entries][:2] == ["data_source.deleted", f"operation.{status}"]


async def test_wrong_sql_is_mended_by_the_model(client: Client, worker: Worker, groq_url: str, sandbox: int) -> None:
    mark = uuid4().hex
    tries = ("SELECT stat FROM orders", "SELECT status FROM order_s", "SELECT status FROM orders LIMIT 1")
    await script(
        groq_url, mark, *(("db_query", {"source": sandbox, "sql": sql, "purpose": "A status"}) for sql in tries)
    )
    _, events = await answer(client, worker, f"{mark} [[tokens=3]]")
    assert [kind for kind in types_of(events) if kind.startswith("tool-output")] == [
        *("tool-output-error", "tool-output-error", "tool-output-available"),
    ]
    requests = await groq_control.requests(groq_url, containing=mark, ended=4)
    told = [request["body"]["messages"][-1]["content"] for request in requests[1:3]]
    assert "stat" in told[0]
    assert "order_s" in told[1]
    assert all("Mend the statement" in text for text in told)


async def test_once_rows_are_in_a_chat_its_model_asks_before_it_searches_the_web(
    client: Client, worker: Worker, groq_url: str, tavily_url: str, sandbox: int
) -> None:
    mark = uuid4().hex
    await script(
        groq_url,
        mark,
        ("db_query", {"source": sandbox, "sql": "SELECT email FROM customers LIMIT 1", "purpose": "An address"}),
        ("web_search", {"query": f"{mark} customer@example.com"}),
    )
    posted = await post(client, f"{mark} [[tokens=3]]")
    shown: list[dict[str, Any]] = []

    async def refuse(operation: dict[str, Any]) -> None:
        shown.append(operation)
        (await client.http.post(f"/api/operations/{operation['id']}/refuse")).raise_for_status()

    async with deciding(client, worker, posted, refuse):
        pass
    assert [(one["kind"], one["preview"]["tool"]) for one in shown] == [("tool_call", "web_search")]
    assert await tavily_control.searches(tavily_url, containing=mark) == []


@pytest.mark.parametrize(("behaviour", "code"), [("", None), ("fault=400", "failed")])
async def test_the_audit_tells_what_is_sent_outside_and_what_came_of_it(
    client: Client,
    worker: Worker,
    groq_url: str,
    tavily_url: str,
    database_url: str,
    behaviour: str,
    code: str | None,
) -> None:
    mark = uuid4().hex
    arguments = {"query": f"{mark} customer@example.com"}
    await script(groq_url, mark, ("web_search", arguments))
    await tavily_control.script(tavily_url, behaviour, marker=mark)
    posted = await post(client, f"{mark} [[tokens=3]]")
    execute(database_url, "UPDATE chats SET has_rows = true")
    async with deciding(client, worker, posted, approving(client, [])):
        pass
    assert await tavily_control.searches(tavily_url, containing=mark)
    called, committed, approved, proposed = (await client.http.get("/api/audit")).raise_for_status().json()
    assert [one["action"] for one in (proposed, approved, committed, called)] == [
        *("operation.proposed", "operation.approved", "operation.committed", "operation.called"),
    ]
    assert proposed["details"]["tool"] == "web_search"
    assert json.loads(proposed["details"]["arguments"]) == arguments
    assert (called["subject"], called["details"]) == (proposed["subject"], {"tool": "web_search", "code": code})


async def test_a_proposal_of_a_model_that_fails_in_the_database_is_in_the_audit(
    client: Client, worker: Worker, groq_url: str, sandbox: int
) -> None:
    mark = uuid4().hex
    sql = "UPDATE products SET price = (SELECT email FROM customers LIMIT 1)::numeric WHERE id = 1"
    await script(groq_url, mark, ("db_propose_write", {"source": sandbox, "sql": sql, "summary": "Mail as a price."}))
    _, events = await answer(client, worker, f"{mark} [[tokens=3]]")
    assert "tool-output-error" in types_of(events)
    entry = (await client.http.get("/api/audit?limit=1")).raise_for_status().json()[0]
    assert (entry["action"], entry["subject"]) == ("preview.run", f"data_source:{sandbox}")
    assert entry["details"] == {"statement": sql, "undo_of": None, "by": "model"}


async def test_chats_are_deleted_after_approval_and_restored_by_the_undo(
    client: Client, worker: Worker, groq_url: str
) -> None:
    mark = uuid4().hex
    taxes = await client.new_chat()
    (await client.http.patch(f"/api/chats/{taxes}", json={"title": "Taxes of 2025"})).raise_for_status()
    await script(groq_url, mark, ("chats_search", {"query": "taxes"}), ("chats_delete", {"chats": [taxes]}))
    posted = await post(client, f"{mark} [[tokens=3]]")
    shown: list[dict[str, Any]] = []
    async with deciding(client, worker, posted, approving(client, shown)) as events:
        pass
    assert text_of(events)
    assert (await client.http.get(f"/api/chats/{taxes}")).status_code == 404
    undo = (await client.http.post(f"/api/operations/{shown[0]['id']}/undo")).raise_for_status().json()
    await approving(client, shown)(undo)
    await worker.commits.commit(OperationId(UUID(undo["id"])))
    assert (await client.http.get(f"/api/chats/{taxes}")).raise_for_status().json()["title"] == "Taxes of 2025"


async def test_who_has_no_database_is_offered_no_tool_for_one(
    client: Client, worker: Worker, groq_url: str, database_url: str
) -> None:
    mark = uuid4().hex
    await answer(client, worker, f"{mark} [[tokens=1]]")
    (request,) = await groq_control.requests(groq_url, containing=mark, ended=1)
    offered = {tool["function"]["name"] for tool in request["body"]["tools"]}
    assert offered == {"web_search", "chats_search", "chat_rename", "chats_delete"}
    assert execute(database_url, "SELECT count(*) FROM data_sources") == [(0,)]


async def test_who_has_too_many_proposals_gets_an_answer_without_the_search(
    client: Client, settings: Settings, groq_url: str, tavily_url: str, database_url: str
) -> None:
    mark = uuid4().hex
    few = settings.model_copy(update={"operations_max_pending": 1})
    async with open_worker_for(few) as worker:
        for _ in range(2):
            await script(groq_url, mark, ("web_search", {"query": mark}))
            posted = await post(client, f"{mark} [[tokens=3]]")
            execute(database_url, "UPDATE chats SET has_rows = true")
            await worker.attempts.run(posted.generation_id)
    async with client.read(posted.stream_url) as stream:
        events = await stream.all()
    (error,) = [event.part["errorText"] for event in events if event.part["type"] == "tool-output-error"]
    assert error.startswith("Too many of your operations wait")
    assert types_of(events)[-1] == "finish"
    assert await tavily_control.searches(tavily_url, containing=mark) == []
