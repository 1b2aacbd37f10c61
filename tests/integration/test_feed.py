"""The live feed: what a tab is told, in which order, and how it goes on after a cut."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import httpx
import pytest
from redis.asyncio import Redis

from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.runtime import Worker
from shared import background
from shared.ids import ChatId, GenerationId, UserId
from shared.protocol.encoding import OPENING
from shared.settings import Settings
from shared.streams.feed.redis import feed_names
from shared.streams.names import LogNames
from tests.conftest import settings_for
from tests.doubles import groq_control
from tests.integration.conftest import serve
from tests.support.clients import NO_TLS, Client, Event, Stream, logged_in
from tests.support.feeds import Tab, open_tab, ready_tab, told
from tests.support.signed_in import Browser, logged_in_browser
from tests.support.turns import AGE, Noted, execute, open_worker_for, post

EXPIRE = "UPDATE generations SET lease_expires_at = now() - interval '1 second' WHERE status = 'running'"


@pytest.fixture
async def tab(client: Client) -> AsyncIterator[Tab]:
    """The user's tab, which is told everything."""
    async with ready_tab(client) as opened:
        yield opened


async def test_a_turn_is_told_from_its_acceptance_to_its_end(client: Client, tab: Tab, worker: Worker) -> None:
    posted = await post(client, "[[tokens=3]] hello")
    await worker.attempts.run(posted.generation_id)
    events = await tab.until("generation.status", status="completed")
    question, reply = await client.messages(posted.chat_id)
    of = {"chat_id": posted.chat_id, "generation_id": str(posted.generation_id), "assistant_message_id": reply["id"]}
    created, accepted, renamed, running, completed = (event.part for event in events)
    assert (created["type"], created["chat_id"], created["title"], created["temporary"]) == (
        "chat.created", posted.chat_id, None, False,
    )  # fmt: skip
    assert accepted == {
        "type": "message.accepted",
        **of,
        "user_message_id": question["id"],
        "position": 1,
        "status": "queued",
        "stream_url": posted.stream_url,
        "created_at": question["created_at"],
    }
    assert (renamed["chat_id"], renamed["title_by"]) == (posted.chat_id, "message")
    assert "hello" in renamed["title"]
    assert running == {"type": "generation.status", **of, "status": "running", "code": None}
    assert completed == {"type": "generation.status", **of, "status": "completed", "code": None}


async def test_other_versions_of_messages_are_told_with_where_they_begin(
    client: Client, tab: Tab, worker: Worker
) -> None:
    first = await post(client, "[[tokens=1]] hello")
    await worker.attempts.run(first.generation_id)
    question, reply = await client.messages(first.chat_id)
    path = f"/api/chats/{first.chat_id}/messages"
    later = {"Prefer": "respond-async"}
    await tab.until("generation.status", status="completed")

    anew = (
        (await client.http.post(f"{path}/{reply['id']}/regenerate", json={}, headers=later)).raise_for_status().json()
    )
    events = await tab.until("generation.status", status="queued")
    assert [event.part["type"] for event in events] == ["messages.changed", "generation.status"]
    assert (events[0].part["position"], events[1].part["generation_id"]) == (2, anew["generation"]["id"])
    await worker.attempts.run(GenerationId(UUID(anew["generation"]["id"])))

    body = {"content": "[[tokens=1]] good morning"}
    edited = (await client.http.patch(f"{path}/{question['id']}", json=body, headers=later)).raise_for_status().json()
    events = await tab.until("chat.renamed")
    assert [event.part["type"] for event in events[-3:]] == ["messages.changed", "message.accepted", "chat.renamed"]
    assert events[-3].part["position"] == 1
    assert events[-2].part["user_message_id"] == edited["message"]["id"]
    await worker.attempts.run(GenerationId(UUID(edited["generation"]["id"])))

    (await client.http.post(f"{path}/{question['id']}/choose")).raise_for_status()
    assert (await tab.until("messages.changed"))[-1].part["position"] == 1
    (await client.http.delete(f"{path}/{question['id']}")).raise_for_status()
    assert (await tab.until("messages.changed"))[-1].part["position"] == 1


async def test_two_tabs_are_told_the_same_in_the_same_order(client: Client, worker: Worker) -> None:
    async with ready_tab(client) as one, ready_tab(client) as two:
        for _ in range(3):
            posted = await post(client, "[[tokens=1]]")
            await worker.attempts.run(posted.generation_id)
        for tab in (one, two):
            while len(tab.seen) < 16:
                await tab.next()
        assert one.seen[1:] == two.seen[1:]
        assert sorted({event.id for event in one.seen}) == sorted(event.id for event in one.seen)


async def test_a_tab_that_comes_again_after_any_event_gets_the_rest_each_once(
    client: Client, tab: Tab, worker: Worker
) -> None:
    posted = await post(client, "[[tokens=1]]")
    await worker.attempts.run(posted.generation_id)
    await client.http.patch(f"/api/chats/{posted.chat_id}", json={"title": "End"})
    await tab.until("chat.renamed", title="End")
    for number, event in enumerate(tab.seen[:-1]):
        async with open_tab(client, after=event.id) as again:
            assert await again.until("chat.renamed", title="End") == tab.seen[number + 1 :]


async def test_what_happens_after_a_tab_has_come_again_is_told_too(client: Client, tab: Tab) -> None:
    async with open_tab(client, after=tab.last_id) as again:
        await client.new_chat()
        assert await again.next() == await tab.next()


async def test_the_id_may_be_in_the_url_and_the_header_goes_before_it(client: Client, tab: Tab) -> None:
    await client.new_chat()
    await client.new_chat()
    first, second = await tab.next(), await tab.next()
    ready = tab.seen[0].id
    for url, headers, expected in (
        (f"/api/events?after={ready}", {}, first),
        (f"/api/events?after={ready}", {"Last-Event-ID": first.id}, second),
    ):
        async with client.http.stream("GET", url, headers=headers) as response:
            assert await _first_of(response) == expected


async def _first_of(response: httpx.Response) -> Event:
    async for event in Stream(response).events():
        return event
    raise AssertionError


UNKNOWN = ("1-1", "x", "0-0", "1764137185123-7", "9" * 200, "42:1-1", "%00")


async def test_an_id_that_nobody_knows_is_answered_with_resync_and_the_feed_goes_on(client: Client, tab: Tab) -> None:
    for event_id in UNKNOWN:
        async with open_tab(client, after=event_id) as other:
            resync = await other.next()
            assert resync.part == {"type": "resync"}
            await client.new_chat()
            assert await other.next() == await tab.next()
            async with open_tab(client, after=resync.id) as again:
                assert await again.next() == tab.seen[-1]


async def names_of(client: Client) -> LogNames:
    """What the user's feed is called."""
    return feed_names(UserId((await client.http.get("/api/auth/me")).json()["id"]), ("",))


async def _lose(valkey: EmbeddedValkey, client: Client) -> None:
    async with Redis.from_url(valkey.url) as redis:
        assert await redis.delete(*(await names_of(client)).keys) == 1


async def test_a_lost_feed_is_answered_with_resync_to_tabs_that_are_there_and_to_those_that_come_again(
    client: Client, tab: Tab, valkey: EmbeddedValkey
) -> None:
    await client.new_chat()
    await tab.next()
    await _lose(valkey, client)
    async with open_tab(client, after=tab.last_id) as again:
        assert (await again.next()).part == {"type": "resync"}
    await client.new_chat()
    assert (await tab.next()).part == {"type": "resync"}
    await client.new_chat()
    assert (await tab.next()).part["type"] == "chat.created"


async def test_a_feed_that_has_forgotten_the_event_is_answered_with_resync(
    database_url: str, valkey: EmbeddedValkey, groq_url: str
) -> None:
    async with (
        serve(settings_for(database_url, valkey.url, groq_url, feed_max_events=10)) as url,
        logged_in(url) as client,
        ready_tab(client) as tab,
    ):
        for _ in range(11):
            await client.new_chat()
            await tab.next()
        for number, first in ((0, "resync"), (1, "resync"), (2, "chat.created"), (10, "chat.created")):
            async with open_tab(client, after=tab.seen[number].id) as again:
                assert (await again.next()).part["type"] == first


async def test_another_users_events_are_never_told(client: Client, tab: Tab, connect: Callable[[], Client]) -> None:
    other = connect()
    await other.sign_up()
    async with ready_tab(other) as theirs:
        chat = await other.new_chat()
        await other.post_async(chat, "secret")
        await theirs.until("message.accepted")
        async with open_tab(client, after=theirs.seen[0].id) as stranger:
            assert (await stranger.next()).part == {"type": "resync"}
        own = await client.new_chat()
        assert (await tab.next()).part["chat_id"] == own


async def test_a_chat_is_told_when_it_is_made_renamed_and_deleted(client: Client, tab: Tab) -> None:
    body = {"title": "Rome", "temporary": True}
    chat = (await client.http.post("/api/chats", json=body)).json()
    await client.http.patch(f"/api/chats/{chat['id']}", json={"title": "  Trip to\nRome "})
    await client.http.delete(f"/api/chats/{chat['id']}")
    created, renamed, deleted = [event.part for event in await tab.until("chat.deleted")]
    assert created == {
        "type": "chat.created",
        "chat_id": chat["id"],
        "title": "Rome",
        "temporary": True,
        "created_at": chat["created_at"],
    }
    assert renamed == {
        "type": "chat.renamed", "chat_id": chat["id"], "title": "Trip to Rome", "title_by": "user",
    }  # fmt: skip
    assert deleted == {"type": "chat.deleted", "chat_id": chat["id"]}


async def test_a_message_gives_no_title_to_a_chat_that_has_one(client: Client, tab: Tab) -> None:
    chat = (await client.http.post("/api/chats", json={"title": "Mine"})).json()["id"]
    await client.post_async(chat, "one")
    await client.http.delete(f"/api/chats/{chat}")
    assert [kind for kind, _ in told(await tab.until("chat.deleted"))] == [
        "chat.created", "message.accepted", "chat.deleted",
    ]  # fmt: skip


async def test_nothing_is_told_of_what_was_refused(client: Client, tab: Tab) -> None:
    posted = await post(client, "one")
    assert (await client.post_async(posted.chat_id, "two")).status_code == 409
    assert (await client.http.patch(f"/api/chats/{posted.chat_id}", json={"title": ""})).status_code == 422
    assert (await client.http.delete("/api/chats/999999999")).status_code == 404
    await client.new_chat()
    await tab.until("chat.renamed")
    assert (await tab.next()).part["type"] == "chat.created"


async def test_a_message_that_is_repeated_is_told_once(client: Client, tab: Tab) -> None:
    chat = await client.new_chat()
    for _ in range(2):
        (await client.post_async(chat, "one", headers={"Idempotency-Key": "k"})).raise_for_status()
    await client.new_chat()
    kinds = [kind for kind, _ in told([await tab.next() for _ in range(4)])]
    assert kinds == ["chat.created", "message.accepted", "chat.renamed", "chat.created"]


async def test_a_title_by_a_model_is_told(client: Client, tab: Tab, worker: Worker, groq_url: str) -> None:
    words = uuid4().hex
    posted = await post(client, words)
    await groq_control.script(groq_url, "tokens=1", marker=words, reply="How Tides Work")
    await worker.titles.make(posted.generation_id)
    *_, renamed = await tab.until("chat.renamed", title_by="model")
    assert renamed.part["chat_id"] == posted.chat_id
    assert renamed.part["title"] == "How Tides Work"


async def test_a_stop_is_told(client: Client, tab: Tab) -> None:
    posted = await post(client, "one")
    await client.http.post(f"/api/chats/{posted.chat_id}/stop")
    (*_, event) = await tab.until("generation.status")
    assert (event.part["status"], event.part["code"]) == ("cancelled", None)


async def test_a_failure_is_told_with_its_code(client: Client, tab: Tab, worker: Worker) -> None:
    posted = await post(client, "[[fault=400]]")
    await worker.attempts.run(posted.generation_id)
    (*_, event) = await tab.until("generation.status", status="failed")
    generation = (await client.http.get(f"/api/generations/{posted.generation_id}")).json()
    assert event.part["code"] == generation["error_code"] is not None


async def test_lost_workers_are_told_up_to_the_last_one(
    client: Client, tab: Tab, worker: Worker, groq_url: str, database_url: str
) -> None:
    words = uuid4().hex
    posted = await post(client, f"[[tokens=5 after=1 hold={words}]]")
    for _ in range(3):
        dying = asyncio.create_task(worker.attempts.run(posted.generation_id))
        await tab.until("generation.status", status="running")
        await background.end(dying)
        execute(database_url, EXPIRE)
        await worker.recovery.sweep()
    await tab.until("generation.status", status="failed")
    assert [part for kind, part in told(tab.seen) if kind == "generation.status"] == [
        "running", "queued", "running", "queued", "running", "failed",
    ]  # fmt: skip
    assert tab.seen[-1].part["code"] == "worker_lost"
    await groq_control.release(groq_url, words)


async def test_a_worker_that_dies_before_it_can_tell_the_end_leaves_that_to_the_sweep(
    client: Client, tab: Tab, worker: Worker, database_url: str
) -> None:
    posted = await post(client, "[[tokens=1]]")
    await worker.attempts.run(posted.generation_id)
    await tab.until("generation.status", status="completed")
    execute(database_url, "UPDATE generations SET closed_at = NULL")  # as it is between the feed and the row
    execute(database_url, AGE)
    await worker.recovery.sweep()
    assert (await tab.next()).part == tab.seen[-2].part


async def test_a_message_that_waits_is_told_when_its_turn_has_come(client: Client, tab: Tab, worker: Worker) -> None:
    first = await post(client, "[[tokens=1]]")
    second = (await client.post_async(first.chat_id, "[[tokens=1]]", on_conflict="enqueue")).json()
    await worker.attempts.run(first.generation_id)
    events = await tab.until("generation.status", status="queued")
    assert ("message.accepted", "waiting") in told(events)
    assert events[-1].part["generation_id"] == second["generation"]["id"]
    assert told(events)[-2:] == [("generation.status", "completed"), ("generation.status", "queued")]


async def test_an_interrupted_answer_is_told_with_the_message_that_interrupts_it(client: Client, tab: Tab) -> None:
    first = await post(client, "one")
    (await client.post_async(first.chat_id, "two", on_conflict="interrupt")).raise_for_status()
    await tab.until("message.accepted", position=1)
    events = await tab.until("generation.status", generation_id=str(first.generation_id))
    assert told(events)[-1] == ("generation.status", "cancelled")
    assert ("message.accepted", "queued") in told(events)


async def test_an_attempt_that_is_given_back_is_queued_again(
    client: Client, tab: Tab, settings: Settings, groq_url: str
) -> None:
    words = uuid4().hex
    posted = await post(client, f"[[tokens=5 after=1 hold={words}]]")
    async with open_worker_for(settings) as leaving:
        running = asyncio.create_task(leaving.attempts.run(posted.generation_id))
        await tab.until("generation.status", status="running")
        await leaving.drain(0)
        await running
    await tab.until("generation.status", status="queued")
    await groq_control.release(groq_url, words)


async def test_a_changed_memory_is_told(client: Client, tab: Tab) -> None:
    chat = await client.new_chat()
    (await client.http.patch(f"/api/chats/{chat}/memory", json={"summary": "So far."})).raise_for_status()
    (await client.http.delete(f"/api/chats/{chat}/memory")).raise_for_status()
    (await client.http.patch("/api/memory", json={"enabled": True})).raise_for_status()
    (await client.http.delete("/api/memory")).raise_for_status()
    _, *events = [await tab.next() for _ in range(5)]
    assert [event.part for event in events] == [
        {"type": "memory.changed", "chat_id": chat_id} for chat_id in (chat, chat, None, None)
    ]


async def test_a_fact_of_a_chat_that_changes_in_the_shared_memory_is_told_for_the_chat_too(
    client: Client, tab: Tab
) -> None:
    chat = await client.new_chat()
    fact = {"text": "I am vegetarian.", "kind": "preference"}
    memory = (await client.http.patch(f"/api/chats/{chat}/memory", json={"facts": [fact]})).raise_for_status().json()
    await tab.until("memory.changed", chat_id=chat)
    edit = {"id": memory["facts"][0]["id"], "text": "I am vegan."}
    (await client.http.patch("/api/memory", json={"facts": [edit]})).raise_for_status()
    (await client.http.delete("/api/memory")).raise_for_status()
    events = [await tab.next() for _ in range(4)]
    assert [event.part for event in events] == [
        {"type": "memory.changed", "chat_id": chat_id} for chat_id in (None, chat, None, chat)
    ]


async def test_a_summary_that_is_saved_is_told(client: Client, tab: Tab, worker: Worker, noted: Noted) -> None:
    chat = await client.new_chat()
    for _ in range(5):
        posted = await post(client, "[[tokens=1]]", chat)
        await worker.attempts.run(posted.generation_id)
    assert noted.chats
    await worker.summarizer.summarize(ChatId(chat))
    await tab.until("memory.changed", chat_id=chat)
    assert (await client.http.get(f"/api/chats/{chat}/memory")).json()["watermark"] > 0


async def test_a_temporary_chat_whose_time_is_over_is_told_as_deleted(
    client: Client, tab: Tab, worker: Worker, database_url: str
) -> None:
    chat = (await client.http.post("/api/chats", json={"temporary": True})).json()["id"]
    execute(database_url, "UPDATE chats SET last_message_at = now() - interval '2 days'")
    await worker.temporary_chats.delete_expired()
    assert (await tab.until("chat.deleted"))[-1].part == {"type": "chat.deleted", "chat_id": chat}


async def test_the_feed_of_a_deleted_account_ends(client: Client, tab: Tab) -> None:
    posted = await post(client, "one")
    (await client.http.delete("/api/auth/me")).raise_for_status()
    *_, last = await tab.end()
    assert last.part == {"type": "account.deleted"}
    assert str(posted.generation_id) not in str(last)
    response = await client.http.get("/api/events", headers={"Last-Event-ID": last.id})
    assert response.status_code == 401


async def test_the_feed_of_an_account_is_cut_though_its_deletion_was_not_told(
    database_url: str, valkey: EmbeddedValkey, groq_url: str
) -> None:
    quick = settings_for(database_url, valkey.url, groq_url, stream_keep_alive_seconds=0.1)
    async with serve(quick) as url, logged_in(url) as client, ready_tab(client) as tab:
        execute(database_url, "DELETE FROM users")
        assert await tab.until_cut() == []


async def test_the_feed_of_a_session_is_cut_after_logging_out_and_no_others(
    database_url: str, valkey: EmbeddedValkey, groq_url: str
) -> None:
    quick = settings_for(database_url, valkey.url, groq_url, stream_keep_alive_seconds=0.1)
    async with (
        serve(quick) as url,
        httpx.AsyncClient(base_url=url, verify=NO_TLS) as http,
        httpx.AsyncClient(base_url=url, verify=NO_TLS) as others,
    ):
        browser, other = await logged_in_browser(http), Browser(others)
        await other.log_in(browser.email)
        http.headers["Cookie"], others.headers["Cookie"] = (each.headers()["Cookie"] for each in (browser, other))
        async with open_tab(http) as tab, open_tab(others) as staying:
            assert [(await each.next()).part["type"] for each in (tab, staying)] == ["ready", "ready"]
            (await browser.post("/api/auth/logout")).raise_for_status()
            assert await tab.until_cut() == []
            (await other.post("/api/chats")).raise_for_status()
            assert (await staying.next()).part["type"] == "chat.created"
        assert (await http.get("/api/events")).status_code == 401


async def test_without_a_credential_there_is_no_feed(connect: Callable[[], Client]) -> None:
    response = await connect().http.get("/api/events")
    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")


async def test_no_comment_and_no_retry_is_followed_by_a_blank_line(
    database_url: str, valkey: EmbeddedValkey, groq_url: str
) -> None:
    quick = settings_for(database_url, valkey.url, groq_url, stream_keep_alive_seconds=0.1)
    async with (
        serve(quick) as url,
        logged_in(url) as client,
        client.http.stream("GET", "/api/events") as response,
    ):
        body = b""
        async for chunk in response.aiter_raw():
            body += chunk
            if body.count(b": ping\n") == 3:
                break
    assert response.headers["content-type"].startswith("text/event-stream")
    assert body.startswith(OPENING + b"id: ")
    assert body.count(b"\n\n") == 1  # that of `ready`


async def test_200_tabs_of_a_user_take_one_subscription(client: Client, api: str, valkey: EmbeddedValkey) -> None:
    authorization = client.http.headers["Authorization"]
    request = f"GET /api/events HTTP/1.1\r\nHost: test\r\nAuthorization: {authorization}\r\n\r\n".encode()
    readers = list[asyncio.StreamReader]()
    async with AsyncExitStack() as stack:
        for _ in range(200):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(api.rpartition(":")[2]))
            stack.callback(writer.close)
            writer.write(request)
            readers.append(reader)
        for reader in readers:
            await reader.readuntil(b'"ready"}')
        (channel,) = (await names_of(client)).channels
        async with Redis.from_url(valkey.url) as redis:
            assert await redis.pubsub_numsub(channel) == [(channel.encode(), 1)]
            await client.new_chat()
            for reader in readers:
                await reader.readuntil(b'"chat.created"')
