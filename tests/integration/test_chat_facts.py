"""The facts of a chat: found with its segments, replaced, forgotten, masked, and told."""

import json
from dataclasses import replace
from uuid import uuid4

from services.worker.runtime import Worker
from services.worker.summaries.summarizer import Summarizer
from shared.ids import ChatId
from tests.doubles import groq_control
from tests.support.clients import Client
from tests.support.summaries import say
from tests.support.turns import answer, execute


async def test_what_the_summary_lacks_is_kept_as_a_fact_and_told_as_data(
    client: Client, worker: Worker, summarizer: Summarizer, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    say(database_url, chat, f"{mark} My sister Zelda lives at 77 Quay Street.", *["Well."] * 7)
    await groq_control.script(groq_url, marker=mark, reply=f"The user spoke of a sister, {mark}.")
    await summarizer.summarize(ChatId(chat))
    asked_mark = uuid4().hex
    await answer(client, worker, f"{asked_mark} [[tokens=1]]", chat)
    (asked,) = await groq_control.requests(groq_url, containing=asked_mark)
    system, first, *_ = asked["body"]["messages"]
    assert "sister" not in system["content"]
    record = json.loads(first["content"].splitlines()[1])
    assert record["summaries"] == [{"messages": "1-3", "by": "model", "text": f"The user spoke of a sister, {mark}."}]
    (fact,) = record["facts"]
    assert (fact["position"], fact["by"], fact["text"]) == (
        1,
        "user",
        f"{mark} My sister Zelda lives at 77 Quay Street.",
    )
    # The oldest message that is told in full is an answer, so a few words stand for its question.
    assert len(asked["body"]["messages"]) == 1 + (1 + 5) + 1


async def test_facts_have_kinds_replace_each_other_and_can_be_taken_back(
    worker: Worker, summarizer: Summarizer, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    says = [f"{mark} We go with PostgreSQL. My phone is 555-0199.", "Fine, you like Rome.", f"{mark} on"]
    say(
        database_url, chat, *says, "Yes.", f"{mark} MySQL after all.", "Yes.", f"{mark} Forget my phone number.", "Yes."
    )
    database = {"kind": "decision", "subject": "project", "attribute": "database"}
    given = [
        {"position": 1, "quote": "We go with PostgreSQL.", "value": "PostgreSQL", **database},
        {"position": 1, "quote": "my phone is 555-0199", "kind": "identity", "attribute": "phone", "value": "555-0199"},
        {"position": 2, "quote": "you like Rome", "kind": "preference", "value": "Rome"},
        {"position": 1, "quote": "I hate MySQL.", "kind": "preference"},  # stands nowhere
        {"position": 9, "quote": "on", "kind": "preference"},  # no such message
    ]
    await groq_control.script(
        groq_url, marker=mark, reply=json.dumps({"summary": f"{mark} PostgreSQL", "facts": given})
    )
    await summarizer.summarize(ChatId(chat))
    facts = execute(database_url, "SELECT text, kind, source, value, id FROM memory_facts ORDER BY id")
    assert [fact[:4] for fact in facts] == [
        ("We go with PostgreSQL.", "decision", "user", "PostgreSQL"),
        ("My phone is 555-0199", "identity", "user", "555-0199"),
        ("you like Rome", "other", "assistant", "Rome"),
    ]
    now = [{"position": 5, "quote": "MySQL after all.", "value": "MySQL", **database}]
    forget = [{"position": 7, "facts": [facts[1][4]], "values": ["555-0199"]}]
    reply = json.dumps({"summary": f"{mark} MySQL", "facts": now, "forget": forget})
    await groq_control.script(groq_url, marker=mark, reply=reply)
    say(database_url, chat, *["Well."] * 4)
    summarizer = replace(summarizer, chunk_messages=4)
    await summarizer.summarize(ChatId(chat))
    states = execute(
        database_url,
        "SELECT fact.value, by_now.value, fact.forgotten_by FROM memory_facts AS fact"
        " LEFT JOIN memory_facts AS by_now ON by_now.id = fact.replaced_by WHERE fact.source = 'user' ORDER BY fact.id",
    )
    assert states == [("PostgreSQL", "MySQL", None), ("555-0199", None, "chat"), ("MySQL", None, None)]


async def test_what_is_forgotten_in_a_chat_is_forgotten_there_alone_and_as_it_was_said_until_then(
    client: Client, worker: Worker, summarizer: Summarizer, chat: int, database_url: str, groq_url: str
) -> None:
    mark, other = uuid4().hex, await client.new_chat()
    add = (
        "INSERT INTO memory_facts (user_id, chat_id, position, kind, value, text, source)"
        " SELECT user_id, id, %s, 'identity', %s, %s, 'user' FROM chats WHERE id = %s"
    )
    execute(database_url, add, 1, "555-0199", "my phone is 555-0199", other)
    says = [f"{mark} My phone is 555-0199.", "Well.", f"{mark} Forget my phone number."]
    say(database_url, chat, *says, "Yes.", f"{mark} It is 555-0199 after all.", *["on"] * 6)
    reply = {
        "summary": f"{mark} My phone. Forget my phone number, 555-0199.",
        "facts": [],
        "forget": [{"position": 3, "values": ["555-0199"]}],
    }
    await groq_control.script(groq_url, marker=mark, reply=json.dumps(reply))
    quote = {"position": 5, "quote": "It is 555-0199 after all", "kind": "identity", "value": "555-0199"}
    reply = {"summary": f"{mark} It is 555-0199 after all, on and on.", "facts": [quote]}
    await groq_control.script(groq_url, marker=mark, reply=json.dumps(reply))
    await summarizer.summarize(ChatId(chat))
    states = execute(
        database_url,
        "SELECT chat_id, position, forgotten_at IS NULL, replaced_by IS NULL FROM memory_facts ORDER BY id",
    )
    assert states == [(other, 1, True, True), (chat, None, False, False), (chat, 5, True, True)]


async def test_what_was_taken_back_is_masked_in_messages_that_are_told_in_full(
    client: Client, worker: Worker, chat: int, database_url: str, groq_url: str
) -> None:
    asked_mark = uuid4().hex
    say(database_url, chat, "my phone is 555-0199", "Noted.", "it is 555-0199 again", "Fine.")
    execute(
        database_url,
        "INSERT INTO memory_facts (user_id, chat_id, kind, value, text, source, forgotten_at, forgotten_position)"
        " SELECT user_id, id, 'identity', '555-0199', '', 'user', now(), 2 FROM chats WHERE id = %s",
        chat,
    )
    await answer(client, worker, f"{asked_mark} [[tokens=1]]", chat)
    (asked,) = await groq_control.requests(groq_url, containing=asked_mark)
    told = [said["content"] for said in asked["body"]["messages"][1:-1]]
    assert told == ["my phone is [forgotten]", "Noted.", "it is 555-0199 again", "Fine."]


async def test_what_is_known_is_told_to_who_summarizes(
    client: Client, summarizer: Summarizer, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    say(database_url, chat, *[f"{mark} {n}" for n in range(1, 9)])
    await client.http.patch(f"/api/chats/{chat}/memory", json={"facts": [{"text": "I am 40.", "pinned": True}]})
    await summarizer.summarize(ChatId(chat))
    (asked,) = await groq_control.requests(groq_url, containing=mark)
    (known,) = json.loads(asked["user_text"].splitlines()[0].partition(": ")[2])
    assert known["text"] == "I am 40."
