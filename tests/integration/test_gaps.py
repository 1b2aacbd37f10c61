"""A client that has read the chat, and then asks its stream, always gets the rest: 204 is for who has everything."""

import asyncio
import json
from uuid import uuid4

import httpx
import pytest
from redis import Redis

from services.worker.runtime import Worker
from shared.settings import Settings
from shared.streams.names import log_key
from tests.doubles import groq_control
from tests.support.clients import Client, Event, Stream, numbered, text_of
from tests.support.turns import Posted, answer, post, speaking
from tests.support.versions import ASYNC


async def whole(client: Client, url: str) -> list[Event] | None:
    """All events of a stream; None for 204."""
    async with client.read(url) as stream:
        if stream.response.status_code == httpx.codes.NO_CONTENT:
            return None
        events = await stream.all()
        assert stream.done
        return events


def newest_final(messages: list[dict[str, object]]) -> int:
    """What a client says that it has: the newest reply of a view that changes no more; 0 for none."""
    return max((m["id"] for m in messages if (m["generation"] or {}).get("is_final")), default=0)  # type: ignore[attr-defined, type-var, return-value]


@pytest.mark.parametrize("log", ["there", "lost"])
async def test_a_view_of_half_an_answer_is_completed_though_others_have_heard_its_end(
    client: Client, worker: Worker, settings: Settings, log: str
) -> None:
    chat = await client.new_chat()
    first, _ = await answer(client, worker, "[[tokens=2]]", chat)
    posted = await post(client, f"[[tokens=9 after=3 hold={uuid4().hex}]]", chat)
    view = await client.messages(chat)
    assert view[-1]["generation"]["is_final"] is False
    await client.http.post(f"/api/chats/{chat}/stop")
    async with client.read(posted.stream_url) as stream:  # the other tab
        ended = await stream.all()
    if log == "lost":
        with Redis.from_url(settings.redis_url) as redis:
            redis.delete(log_key(posted.generation_id))
    url = f"/api/chats/{chat}/stream"
    for late in (f"{url}?after={newest_final(view)}", url, view[-1]["generation"]["stream_url"]):
        events = await whole(client, late)
        assert events is not None
        assert (events[0].part, events[-1].part) == (ended[0].part, ended[-1].part)
    view = await client.messages(chat)
    assert await whole(client, f"{url}?after={newest_final(view)}") is None
    assert first.chat_id == chat


async def test_whenever_a_client_reads_the_chat_while_its_answer_ends_the_rest_is_there(
    client: Client, worker: Worker, groq_url: str
) -> None:
    async def ends(posted: Posted, gate: str) -> None:
        making = asyncio.create_task(worker.attempts.run(posted.generation_id))
        await groq_control.requests(groq_url, held=1, containing=gate)
        await groq_control.release(groq_url, gate)
        await making

    async def look(chat: int) -> tuple[list[dict[str, object]], list[Event] | None]:
        view = await client.messages(chat)
        return view, await whole(client, f"/api/chats/{chat}/stream?after={newest_final(view)}")

    for _ in range(3):
        gate, chat = uuid4().hex, await client.new_chat()
        posted = await post(client, f"[[tokens=9 after=4 hold={gate}]]", chat)
        ending = asyncio.create_task(ends(posted, gate))
        looks = 0
        while not ending.done() or not looks:
            view, events = await look(chat)
            said = view[-1]["content"] if events is None else text_of(events)
            assert said == numbered(9)
            looks += 1
        await ending


async def test_a_chats_stream_without_an_answer_is_empty(client: Client) -> None:
    url = f"/api/chats/{await client.new_chat()}/stream"
    assert (await whole(client, url), await whole(client, f"{url}?after=0")) == (None, None)


async def test_who_says_nothing_gets_the_newest_answer_again_and_again(client: Client, worker: Worker) -> None:
    chat = await client.new_chat()
    await answer(client, worker, "[[tokens=2]]", chat)
    posted, live = await answer(client, worker, "[[tokens=5]]", chat)
    assert await whole(client, f"/api/chats/{chat}/stream") == live
    assert await whole(client, f"/api/chats/{posted.chat_id}/stream") == live


async def test_a_client_that_goes_on_from_its_last_event_gets_each_later_answer_and_then_nothing(
    client: Client, worker: Worker
) -> None:
    chat = await client.new_chat()
    _, first = await answer(client, worker, "[[tokens=2]]", chat)
    _, second = await answer(client, worker, "[[tokens=5]]", chat)
    url = f"/api/chats/{chat}/stream"
    async with client.read(url, first[2].id) as stream:
        assert await stream.all() == first[3:]
    async with client.read(url, first[-1].id) as stream:
        assert (await stream.all(), stream.transient_frames) == (second, [])
    async with client.read(url, second[-1].id) as stream:
        assert stream.response.status_code == 204
    async with client.read(url, "nonsense") as stream:
        assert (await stream.all(), [frame["type"] for frame in stream.transient_frames]) == (second, ["data-reset"])


async def test_the_answer_that_waits_is_followed_after_a_reload(client: Client, worker: Worker) -> None:
    async with speaking(client, worker) as speech:
        chat = speech.posted.chat_id
        waiting = Posted.of(chat, (await client.post_async(chat, "[[tokens=3]]", on_conflict="enqueue")).json())
        live, queued = (m for m in await client.messages(chat) if m["role"] == "assistant")
        assert (live["generation"]["status"], queued["generation"]["status"]) == ("running", "waiting")
        async with client.read(f"/api/chats/{chat}/stream?after={live['id']}") as stream:
            following = asyncio.create_task(stream.all())
            while not stream.transient_frames:
                await asyncio.wait([following], timeout=0.05)
            assert stream.transient_frames[0]["data"] == {"status": "waiting"}
            await client.http.post(f"/api/generations/{speech.posted.generation_id}/cancel")
            await worker.attempts.run(waiting.generation_id)
            assert text_of(await following) == numbered(3)


@pytest.mark.parametrize("after", ["-1", "x", str(2**63)])
async def test_what_a_client_says_that_it_has_is_checked(client: Client, after: str) -> None:
    refused = await client.http.get(f"/api/chats/{await client.new_chat()}/stream?after={after}")
    assert (refused.status_code, refused.json()["field"]) == (422, "after")


async def test_a_post_with_the_last_event_of_an_answer_goes_on_with_that_answer(client: Client, worker: Worker) -> None:
    chat = await client.new_chat()
    _, first = await answer(client, worker, "[[tokens=20]]", chat)
    async with client.post(chat, "[[tokens=20]]", headers={"Last-Event-ID": first[3].id}) as stream:
        assert (await stream.all(), stream.done) == (first[4:], True)
    async with client.post(chat, "[[tokens=20]]", headers={"Last-Event-ID": first[-1].id}) as stream:
        assert (await stream.all(), stream.done, stream.transient_frames) == (first[-1:], True, [])
    assert len(await client.messages(chat)) == 2


async def test_a_post_is_resumed_in_the_middle_and_before_the_first_frame(
    client: Client, worker: Worker, settings: Settings
) -> None:
    chat = await client.new_chat()
    async with client.post(chat, "[[tokens=3]]") as stream:
        event_id = f"{stream.response.headers['X-Message-Id']}:0-0"
    async with client.post(chat, "[[tokens=3]]", headers={"Last-Event-ID": event_id}) as stream:
        posted = await client.messages(chat)
        making = asyncio.create_task(worker.attempts.run(posted[1]["generation"]["id"]))
        events = await stream.all()
        await making
        assert (text_of(events), [f["type"] for f in stream.transient_frames if f["type"] == "data-reset"]) == (
            numbered(3),
            [],
        )
    with Redis.from_url(settings.redis_url) as redis:
        redis.delete(log_key(posted[1]["generation"]["id"]))
    async with client.post(chat, "[[tokens=3]]", headers={"Last-Event-ID": events[-1].id}) as stream:
        assert text_of(await stream.all()) == ""
        assert stream.done
    assert len(await client.messages(chat)) == 2


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/regenerate", {}), ("PATCH", "", {"content": "[[tokens=20]]"})],
    ids=["regenerate", "edit"],
)
async def test_a_version_that_is_asked_for_with_the_last_event_of_an_answer_goes_on_with_that_answer(
    client: Client, worker: Worker, method: str, path: str, body: dict[str, str]
) -> None:
    chat = await client.new_chat()
    _, first = await answer(client, worker, "[[tokens=20]]", chat)
    before = await client.messages(chat)
    url = f"/api/chats/{chat}/messages/{before[0]['id']}{path}"
    for has, rest in ((first[3], first[4:]), (first[-1], first[-1:])):
        async with client.http.stream(method, url, json=body, headers=ASYNC | {"Last-Event-ID": has.id}) as response:
            stream = Stream(response)
            assert (await stream.all(), stream.done) == (rest, True)
    assert await client.messages(chat) == before


async def test_a_last_event_of_another_chat_makes_no_message_a_resumption(client: Client, worker: Worker) -> None:
    _, elsewhere = await answer(client, worker, "[[tokens=1]]")
    chat = await client.new_chat()
    accepted = await client.post_async(chat, "Hello", headers={"Last-Event-ID": elsewhere[-1].id})
    assert accepted.status_code == 202
    assert [message["content"] for message in await client.messages(chat)] == ["Hello", ""]


async def test_the_stream_begins_with_an_id_to_resume_from(client: Client) -> None:
    posted = await post(client, "Never answered")
    async with client.http.stream("GET", posted.stream_url) as response:
        lines: list[str] = []
        async for line in response.aiter_lines():
            lines.append(line)
            if line.startswith("data"):
                break
    message = (await client.messages(posted.chat_id))[1]["id"]
    assert lines[:3] == [": open", "retry: 1000", f"id: {message}:0-0"]
    assert json.loads(lines[3][6:])["data"] == {"status": "queued", "position": 1}
