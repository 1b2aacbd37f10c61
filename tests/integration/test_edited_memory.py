"""What a person changes of the memory is what the model is told, whatever a summarizer does meanwhile."""

import asyncio
import json
from dataclasses import replace
from uuid import uuid4

import pytest

from services.worker.runtime import Worker
from services.worker.summaries.summarizer import Summarizer
from shared.ids import ChatId
from tests.doubles import groq_control
from tests.support.clients import Client
from tests.support.turns import answer, execute


@pytest.fixture
def summarizer(worker: Worker) -> Summarizer:
    """The worker's summarizer: of three messages, two are summarized."""
    return replace(worker.summarizer, window=1, chunk_messages=2)


def say(database_url: str, chat: int, *contents: str) -> None:
    """Have these be the chat's first messages, by turns the user's and the assistant's. A summary is due."""
    for position, content in enumerate(contents, start=1):
        execute(
            database_url,
            "INSERT INTO messages (chat_id, role, content, position, status) VALUES (%s, %s, %s, %s, 'completed')",
            *(chat, "user" if position % 2 else "assistant", content, position),
        )
    due = "UPDATE chats SET last_position = %s, summary_due_at = now() WHERE id = %s"
    execute(database_url, due, len(contents), chat)


async def told(client: Client, worker: Worker, groq_url: str, chat: int) -> str:
    """All that the model is told with a question."""
    mark = uuid4().hex
    await answer(client, worker, f"{mark} [[tokens=1]]", chat)
    asked = [one["body"] for one in await groq_control.requests(groq_url, containing=mark)]
    (body,) = [one for one in asked if one.get("stream")]
    return "\n".join(str(message["content"]) for message in body["messages"])


async def test_a_summary_that_is_written_into_a_new_chat_never_breaks_its_memory(
    client: Client, summarizer: Summarizer, database_url: str
) -> None:
    chat = await client.new_chat()
    url = f"/api/chats/{chat}/memory"
    (await client.http.patch(url, json={"summary": "The code is AB-12."})).raise_for_status()
    say(database_url, chat, "One, AB-12.", "Two.", "Three.")
    await summarizer.summarize(ChatId(chat))
    seen = (await client.http.get(url)).raise_for_status().json()
    assert seen["watermark"] == 2
    assert [(one["first"], one["last"]) for one in seen["segments"]] == [(0, 0), (1, 2)]
    assert seen["summary"].startswith("The code is AB-12.\n")


async def test_what_is_corrected_is_told_and_what_is_forgotten_is_not(
    client: Client, worker: Worker, groq_url: str
) -> None:
    chat = await client.new_chat()
    url = f"/api/chats/{chat}/memory"
    new = [{"text": "My dose is 5 mg.", "kind": "health"}, {"text": "My phone is 555-0199."}]
    change = {"summary": "They spoke of a dose. My phone is 555-0199. It rained.", "facts": new}
    facts = (await client.http.patch(url, json=change)).raise_for_status().json()["facts"]
    dose, phone = (next(fact["id"] for fact in facts if word in fact["text"]) for word in ("dose", "phone"))
    text = await told(client, worker, groq_url, chat)
    assert "My dose is 5 mg." in text
    assert "555-0199" in text
    edits = [{"id": dose, "text": "My dose is 7 mg."}, {"id": phone, "forgotten": True}]
    (await client.http.patch(url, json={"facts": edits})).raise_for_status()
    text = await told(client, worker, groq_url, chat)
    assert "My dose is 7 mg." in text
    assert "5 mg" not in text
    assert "555-0199" not in text
    assert "It rained." in text
    (await client.http.patch(url, json={"facts": new[1:]})).raise_for_status()
    assert "555-0199" in await told(client, worker, groq_url, chat)


async def test_what_is_shared_is_told_in_another_chat_while_the_user_wants_that(
    client: Client, worker: Worker, groq_url: str
) -> None:
    fact = {"text": "I am vegetarian.", "kind": "preference"}
    (await client.http.patch("/api/memory", json={"enabled": True, "facts": [fact]})).raise_for_status()
    assert fact["text"] in await told(client, worker, groq_url, await client.new_chat())
    (await client.http.patch("/api/memory", json={"enabled": False})).raise_for_status()
    assert fact["text"] not in await told(client, worker, groq_url, await client.new_chat())


async def test_a_fact_that_is_changed_while_a_summary_is_made_refuses_the_summary(
    client: Client, summarizer: Summarizer, database_url: str, groq_url: str
) -> None:
    chat, mark = await client.new_chat(), uuid4().hex
    fact = {"text": "I am 40.", "kind": "identity"}
    url = f"/api/chats/{chat}/memory"
    (added,) = (await client.http.patch(url, json={"facts": [fact]})).raise_for_status().json()["facts"]
    say(database_url, chat, f"{mark} one", f"{mark} two", f"{mark} three")
    script = json.dumps({"summary": f"Of {mark}.", "facts": []})
    await groq_control.script(groq_url, f"hold={mark}", marker=mark, reply=script)
    running = asyncio.create_task(summarizer.summarize(ChatId(chat)))
    await groq_control.requests(groq_url, containing=mark, held=1)
    edits = [{"id": added["id"], "text": "I am 41."}]
    (await client.http.patch("/api/memory", json={"facts": edits})).raise_for_status()
    await groq_control.release(groq_url, mark)
    await running
    state = "SELECT summary_position, memory_version, summary_due_at <= now() FROM chats WHERE id = %s"
    assert execute(database_url, state, chat) == [(0, 2, True)]
    await groq_control.script(groq_url, marker=mark, reply=script)
    await summarizer.summarize(ChatId(chat))
    assert (await client.http.get(url)).json()["summary"] == f"Of {mark}."
