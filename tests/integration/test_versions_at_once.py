"""Changes of the active path at the same moment as other things: the chat's row, and one live generation, decide."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from services.worker.runtime import Worker
from shared.ids import ChatId, GenerationId
from shared.settings import Settings
from tests.doubles import groq_control
from tests.integration.conftest import serve
from tests.support.clients import Client, Event, logged_in, numbered, text_of
from tests.support.summaries import memory_of
from tests.support.summaries import say as put
from tests.support.system import eventually
from tests.support.turns import Posted, execute, post
from tests.support.versions import choose, delete, edit, path_of, regenerate, say, tree_of

EXPIRE = "UPDATE generations SET lease_expires_at = now() - interval '1 second' WHERE id = %s"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
"""How many statements wait for a row that another transaction has locked."""


async def race(
    database_url: str, chat: int, *requests: Callable[[], Coroutine[Any, Any, httpx.Response]]
) -> list[httpx.Response]:
    """Make requests that all wait for the chat's row before any of them goes on, in the order in which they came."""

    def waiting() -> int:
        ((count,),) = execute(database_url, WAITING)
        return int(str(count))

    with psycopg.connect(database_url) as locker:
        locker.execute("SELECT id FROM chats WHERE id = %s FOR UPDATE", [chat])
        running = list[asyncio.Task[httpx.Response]]()
        for number, request in enumerate(requests, start=1):
            running.append(asyncio.create_task(request()))
            await eventually(partial(lambda number: waiting() >= number, number))
        locker.commit()
        return await asyncio.gather(*running)


async def well_formed(client: Client, chat: int) -> list[dict[str, Any]]:
    """All messages of the chat, of which one path is active: by turns, each reply behind its message, one live at most."""
    tree = await tree_of(client, chat)
    active = [message for message in tree if not message["replaced"]]
    assert [message["role"] for message in active] == ["user", "assistant"] * (len(active) // 2)
    assert [message["parent_id"] for message in active] == [None, *(one["id"] for one in active[:-1])][: len(active)]
    assert active == await client.messages(chat)
    assert sum(message["status"] == "pending" for message in tree) <= 1
    by_id = {message["id"]: message for message in tree}
    for message in tree:
        assert message["parent_id"] is None or by_id[message["parent_id"]]["role"] != message["role"]
    return tree


async def test_of_ten_regenerations_at_once_one_is_accepted(client: Client, worker: Worker, chat: int) -> None:
    first = await say(client, worker, chat, "[[tokens=2]] one")
    message = first["message"]["id"]
    answers = await asyncio.gather(*(regenerate(client, chat, message) for _ in range(10)))
    assert Counter(answer.status_code for answer in answers) == {202: 1, 409: 9}
    assert len(await well_formed(client, chat)) == 3


async def test_ten_times_the_same_edit_at_once_is_one_edit(client: Client, worker: Worker, chat: int) -> None:
    first = await say(client, worker, chat, "[[tokens=2]] one")
    key = {"Idempotency-Key": "same"}
    for conflict in ("reject", "interrupt"):
        key = {"Idempotency-Key": conflict}
        answers = await asyncio.gather(
            *(edit(client, chat, first["message"]["id"], "two", headers=key, on_conflict=conflict) for _ in range(10))
        )
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.text for answer in answers}) == 1
        await client.http.post(f"/api/chats/{chat}/stop")
    assert len(await well_formed(client, chat)) == 6


async def test_of_many_interrupting_edits_and_messages_at_once_the_last_is_answered(
    client: Client, worker: Worker, chat: int, database_url: str
) -> None:
    first = await say(client, worker, chat, "[[tokens=2]] one")
    message = first["message"]["id"]
    answers = await asyncio.gather(
        *(edit(client, chat, message, f"{n}", on_conflict="interrupt") for n in range(6)),
        *(regenerate(client, chat, message, on_conflict="interrupt") for n in range(6)),
        *(client.post_async(chat, f"{n}", on_conflict="interrupt") for n in range(6)),
    )
    assert {answer.status_code for answer in answers} == {202}
    assert execute(database_url, "SELECT count(*) FROM generations WHERE status = 'queued'") == [(1,)]
    tree = await well_formed(client, chat)
    assert sorted(one["position"] for one in tree) == list(range(1, len(tree) + 1))


@pytest.mark.parametrize("is_message_first", [True, False])
async def test_of_an_edit_and_a_message_at_once_the_first_is_accepted(
    client: Client, worker: Worker, chat: int, database_url: str, is_message_first: bool
) -> None:
    first = await say(client, worker, chat, "[[tokens=2]] one")
    requests = [
        lambda: client.post_async(chat, "two"),
        lambda: edit(client, chat, first["message"]["id"], "uno"),
    ]
    answers = await race(database_url, chat, *(requests if is_message_first else requests[::-1]))
    assert [answer.status_code for answer in answers] == [202, 409]
    await well_formed(client, chat)
    assert (await path_of(client, chat))[-2] == ("two" if is_message_first else "uno")


@pytest.mark.parametrize("is_message_first", [True, False])
async def test_a_message_follows_the_version_that_was_chosen_a_moment_before(
    client: Client, worker: Worker, chat: int, database_url: str, is_message_first: bool
) -> None:
    first = await say(client, worker, chat, "[[tokens=2]] one")
    old = first["generation"]["assistant_message_id"]
    await say(client, worker, chat, "[[tokens=2]] two")
    regenerated = await regenerate(client, chat, old)
    await client.http.post(f"/api/chats/{chat}/stop")
    requests = [lambda: client.post_async(chat, "new"), lambda: choose(client, chat, old)]
    answers = await race(database_url, chat, *(requests if is_message_first else requests[::-1]))
    assert [answer.status_code for answer in answers] == ([202, 409] if is_message_first else [200, 202])
    tree = await well_formed(client, chat)
    (new,) = [message for message in tree if message["content"] == "new"]
    followed = regenerated.json()["generation"]["assistant_message_id"] if is_message_first else tree[3]["id"]
    assert new["parent_id"] == followed
    assert (await path_of(client, chat))[-2:] == ["new", ""]


@pytest.mark.parametrize("is_message_first", [True, False])
async def test_of_a_deletion_and_a_message_at_once_the_message_follows_what_is_left(
    client: Client, worker: Worker, chat: int, database_url: str, is_message_first: bool
) -> None:
    await say(client, worker, chat, "[[tokens=2]] one")
    second = await say(client, worker, chat, "[[tokens=2]] two")
    requests = [lambda: client.post_async(chat, "new"), lambda: delete(client, chat, second["message"]["id"])]
    answers = await race(database_url, chat, *(requests if is_message_first else requests[::-1]))
    assert [answer.status_code for answer in answers] == ([202, 409] if is_message_first else [204, 202])
    assert len(await well_formed(client, chat)) == (6 if is_message_first else 4)


@pytest.mark.parametrize("what", ["regenerate", "edit", "delete"])
async def test_a_summary_that_is_being_made_does_not_outlive_its_messages(
    client: Client, worker: Worker, chat: int, database_url: str, groq_url: str, what: str
) -> None:
    mark = uuid4().hex
    put(database_url, chat, *[f"{mark} number {n}" for n in range(1, 9)])
    *_, question, _ = await client.messages(chat)
    second = (await client.messages(chat))[0]
    await groq_control.script(groq_url, f"hold={mark}", marker=mark, reply="Outrun.")
    running = asyncio.create_task(worker.summarizer.summarize(ChatId(chat)))
    await groq_control.requests(groq_url, containing=mark, held=1)
    done = {
        "regenerate": lambda: regenerate(client, chat, second["id"]),
        "edit": lambda: edit(client, chat, second["id"], "other"),
        "delete": lambda: delete(client, chat, question["id"]),
    }
    assert (await done[what]()).is_success
    await groq_control.release(groq_url, mark)
    await running
    assert memory_of(database_url, chat)[0] != "Outrun."
    assert memory_of(database_url, chat)[1] in {0, 3}
    seen = (await client.http.get(f"/api/chats/{chat}/memory")).json()
    assert seen["watermark"] + seen["pending"] == len(await client.messages(chat))


async def test_a_new_answer_whose_worker_is_lost_is_made_by_another(
    client: Client, worker: Worker, chat: int, sent: list[GenerationId], database_url: str
) -> None:
    first = await say(client, worker, chat, "[[tokens=2]] one")
    stalling = f"{uuid4().hex} [[tokens=12 fault=stall after=6 once=1]]"
    accepted = await edit(client, chat, first["message"]["id"], stalling)
    posted = Posted.of(chat, accepted.json())
    lost = asyncio.create_task(worker.attempts.run(posted.generation_id))
    async with client.read(posted.stream_url) as stream:
        events = stream.events()
        seen: list[Event] = []
        while text_of(seen) != numbered(6):
            seen.append(await anext(events))
        lost.cancel()
        await asyncio.wait([lost])
        execute(database_url, EXPIRE, posted.generation_id)
        sent.clear()
        await worker.recovery.sweep()
        assert sent == [posted.generation_id]
        await worker.attempts.run(posted.generation_id)
        seen += [event async for event in events]
    assert text_of(seen) == numbered(12)
    assert (await client.messages(chat))[1]["content"] == numbered(12)


async def test_a_user_without_a_free_slot_changes_no_path(settings: Settings) -> None:
    async with serve(settings.model_copy(update={"user_max_live_generations": 1})) as url, logged_in(url) as client:
        first = await post(client, "one")
        await client.http.post(f"/api/chats/{first.chat_id}/stop")
        before = await tree_of(client, first.chat_id)
        await post(client, "elsewhere")
        for refused in (
            await edit(client, first.chat_id, before[0]["id"], "two"),
            await regenerate(client, first.chat_id, before[0]["id"]),
        ):
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_generations")
        assert await tree_of(client, first.chat_id) == before


async def test_a_message_of_the_release_before_is_on_the_active_path(
    client: Client, worker: Worker, chat: int, database_url: str
) -> None:
    first = await say(client, worker, chat, "[[tokens=2]] one")
    old = first["generation"]["assistant_message_id"]
    await regenerate(client, chat, old)
    await client.http.post(f"/api/chats/{chat}/stop")
    await choose(client, chat, old)
    for role in ("user", "assistant"):  # as that release does: without a word of versions
        execute(
            database_url,
            "INSERT INTO messages (chat_id, role, content, position, status)"
            " SELECT id, %s, 'old ' || %s, last_position + 1, 'completed' FROM chats WHERE id = %s",
            *(role, role, chat),
        )
        execute(database_url, "UPDATE chats SET last_position = last_position + 1 WHERE id = %s", chat)
    tree = await well_formed(client, chat)
    assert (tree[3]["content"], tree[3]["parent_id"]) == ("old user", old)
    await edit(client, chat, tree[0]["id"], "uno")
    await client.http.post(f"/api/chats/{chat}/stop")
    await choose(client, chat, tree[3]["id"])
    assert await path_of(client, chat) == ["[[tokens=2]] one", numbered(2), "old user", "old assistant"]
