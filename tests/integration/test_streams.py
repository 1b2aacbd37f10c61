"""Reading a generation's frames: live, late, again, from the middle, by several readers, and when the log is gone."""

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from uuid import uuid4

import httpx
import pytest
from redis import Redis

from services.worker.runtime import Worker
from shared.protocol import frames
from shared.settings import Settings
from shared.streams.names import log_key
from tests.doubles import groq_control
from tests.integration.conftest import serve
from tests.support.clients import NO_TLS, Client, Event, error_of, numbered, text_of, types_of
from tests.support.turns import answer, post


async def test_the_headers_say_what_clients_need(client: Client, worker: Worker) -> None:
    posted, _ = await answer(client, worker, "[[tokens=1]]")
    async with client.read(posted.stream_url) as stream:
        headers = stream.response.headers
        await stream.all()
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-store, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert headers["x-generation-id"] == str(posted.generation_id)
    assert headers["x-message-id"] == str((await client.messages(posted.chat_id))[1]["id"])


async def test_a_late_reader_gets_the_same_bytes_as_a_live_one(client: Client, worker: Worker) -> None:
    posted, live = await answer(client, worker, "[[tokens=50]]")
    async with client.read(posted.stream_url) as stream:
        late = await stream.all()
        assert stream.done
    assert late == live


async def test_a_reader_that_reconnects_gets_every_frame_once(client: Client, worker: Worker, groq_url: str) -> None:
    posted = await post(client, "[[tokens=40 after=20 hold=reconnect]]")
    making = asyncio.create_task(worker.attempts.run(posted.generation_id))
    seen: list[Event] = []
    async with client.read(posted.stream_url) as stream:
        async for event in stream.events():
            seen.append(event)
            if text_of(seen).startswith(numbered(5)):
                break
    async with client.read(posted.stream_url, seen[-1].id) as stream:
        await groq_control.release(groq_url, "reconnect")
        seen += await stream.all()
    await making
    assert text_of(seen) == numbered(40)
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))


async def test_every_event_id_resumes_just_after_it(client: Client, worker: Worker) -> None:
    posted, events = await answer(client, worker, "[[tokens=10 rate=200]]")
    for reached, event in enumerate(events[:-1], start=1):
        async with client.read(posted.stream_url, event.id) as stream:
            assert await stream.all() == events[reached:]


async def test_after_the_terminal_frame_there_is_nothing_more(client: Client, worker: Worker) -> None:
    posted, events = await answer(client, worker, "[[tokens=1]]")
    async with client.read(posted.stream_url, events[-1].id) as stream:
        assert stream.response.status_code == 204


@pytest.mark.parametrize("form", ["{other}:1-3", "{message}:1-999", "{message}:7-3", "nonsense", "{message}:0-1", "🙂"])
async def test_an_event_id_that_fits_no_frame_gets_it_all_again(client: Client, worker: Worker, form: str) -> None:
    posted, events = await answer(client, worker, "[[tokens=3]]")
    message = int(events[0].part["messageId"])
    event_id = form.format(message=message, other=message + 1)
    headers = [(b"last-event-id", event_id.encode())]
    response = await client.http.get(posted.stream_url, headers=headers)
    assert response.status_code == 200
    asked_for_what_is_not_there, *frames, done = [
        line for line in response.text.splitlines() if line.startswith("data:")
    ]
    assert asked_for_what_is_not_there == 'data: {"type":"data-reset","data":{},"transient":true}'
    assert [json.loads(frame[6:]) for frame in frames] == [event.part for event in events]
    assert done == "data: [DONE]"


async def test_many_readers_of_one_generation_see_the_same(client: Client, worker: Worker, groq_url: str) -> None:
    posted = await post(client, "[[tokens=30 after=1 hold=many]]")
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(client.read(posted.stream_url)) for _ in range(20)]
        reading = [asyncio.create_task(stream.all()) for stream in streams]
        making = asyncio.create_task(worker.attempts.run(posted.generation_id))
        await groq_control.requests(groq_url, held=1)
        await groq_control.release(groq_url, "many")
        seen = await asyncio.gather(*reading)
        await making
    assert all(events == seen[0] for events in seen)
    assert text_of(seen[0]) == numbered(30)


async def test_a_generation_whose_log_has_expired_is_told_from_its_row(
    client: Client, worker: Worker, settings: Settings
) -> None:
    posted, live = await answer(client, worker, "[[tokens=30]]")
    forget(settings, posted.generation_id)
    async with client.read(posted.stream_url) as stream:
        late = await stream.all()
        assert stream.done
    assert text_of(late) == numbered(30)
    assert types_of(late) == [kind for kind in types_of(live) if kind != "data-status"]
    assert (late[0].part, late[-1].part) == (live[0].part, live[-1].part)
    async with client.read(posted.stream_url, late[-1].id) as stream:
        assert stream.response.status_code == 204
    async with client.read(posted.stream_url, late[2].id) as stream:
        assert await stream.all() == late[3:]


async def test_a_log_whose_end_redis_lost_after_it_was_closed_is_closed_again(
    client: Client, worker: Worker, settings: Settings
) -> None:
    posted, live = await answer(client, worker, "[[tokens=30]]")
    with Redis.from_url(settings.stream_redis_url) as server:
        key = log_key(posted.generation_id)
        (kept, *lost) = [entry for entry, _ in server.xrange(key)][-4:]
        server.xdel(key, *lost)
    reached = live[-5].id
    async with client.read(posted.stream_url, reached) as stream:
        late = await stream.all()
        assert stream.done
    assert stream.transient_frames == []
    assert text_of(live[:-4] + late) == numbered(30)
    assert late[0].id.endswith(kept.decode())
    assert late[-1].part == live[-1].part


async def test_a_failed_generation_whose_log_has_expired_still_says_so(
    client: Client, worker: Worker, settings: Settings
) -> None:
    posted, _ = await answer(client, worker, "[[tokens=40 fault=cut after=4]]")
    forget(settings, posted.generation_id)
    async with client.read(posted.stream_url) as stream:
        events = await stream.all()
    assert text_of(events) == numbered(16)
    assert error_of(events) == "model_bad_response"


async def test_a_log_that_redis_lost_in_mid_answer_is_written_again(
    client: Client, worker: Worker, settings: Settings, groq_url: str
) -> None:
    posted = await post(client, "[[tokens=30 after=12 hold=wiped]]")
    making = asyncio.create_task(worker.attempts.run(posted.generation_id))
    async with client.read(posted.stream_url) as stream:
        events = stream.events()
        seen: list[Event] = []
        while text_of(seen) != numbered(12):
            seen.append(await anext(events))
        forget(settings, posted.generation_id)
        await groq_control.release(groq_url, "wiped")
        seen += [event async for event in events]
    await making
    assert text_of(seen) == numbered(30)
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    async with client.read(posted.stream_url) as stream:
        assert await stream.all() == seen


async def test_a_reader_whose_pub_sub_is_cut_again_and_again_loses_nothing(
    client: Client, worker: Worker, settings: Settings
) -> None:
    posted = await post(client, "[[tokens=150 rate=100]]")
    making = asyncio.create_task(worker.attempts.run(posted.generation_id))
    cuts = 0
    async with client.read(posted.stream_url) as stream:
        seen: list[Event] = []
        with Redis.from_url(settings.redis_url) as redis:
            async for event in stream.events():
                seen.append(event)
                if event.sequence % 15 == 0:
                    cuts += await asyncio.to_thread(redis.client_kill_filter, _type="pubsub")
    await making
    assert cuts >= 3
    assert text_of(seen) == numbered(150)
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))


async def test_streams_of_others_are_not_there(client: Client, worker: Worker, connect: Callable[[], Client]) -> None:
    posted, _ = await answer(client, worker, "[[tokens=1]]")
    other = connect()
    await other.sign_up()
    theirs = await other.http.get(posted.stream_url)
    absent = await other.http.get(f"/api/generations/{uuid4()}/stream")
    assert (theirs.status_code, theirs.json()) == (404, absent.json())
    assert (await other.http.get(f"/api/generations/{posted.generation_id}")).status_code == 404
    for query in ("", "?after=0"):
        assert (await other.http.get(f"/api/chats/{posted.chat_id}/stream{query}")).status_code == 404


async def test_a_stream_of_a_deleted_chat_is_aborted_and_then_gone(client: Client) -> None:
    posted = await post(client, "Never answered")
    async with client.read(posted.stream_url) as stream:
        assert (await client.http.delete(f"/api/chats/{posted.chat_id}")).status_code == 204
        events = await stream.all()
        assert stream.done
    assert [event.part for event in events[-2:]] == frames.aborted("deleted")
    assert (await client.http.get(posted.stream_url)).status_code == 404


async def test_a_quiet_stream_shows_signs_of_life(client: Client, worker: Worker, settings: Settings) -> None:
    async with serve_impatiently(settings) as url, httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=20) as http:
        http.headers["Authorization"] = client.http.headers["Authorization"]
        reader = Client(http)
        posted = await post(reader, "[[tokens=1]]")
        async with reader.read(posted.stream_url) as stream:
            events = stream.events()
            first = asyncio.ensure_future(anext(events))
            while stream.comments[1:] != ["ping"]:
                await asyncio.wait([first], timeout=0.05)
            making = asyncio.create_task(worker.attempts.run(posted.generation_id))
            seen = [await first] + [event async for event in events]
            await making
        assert stream.comments[0] == "open"
        assert text_of(seen) == numbered(1)


async def test_a_draining_api_cuts_its_streams_and_another_goes_on(
    client: Client, worker: Worker, settings: Settings, groq_url: str
) -> None:
    posted = await post(client, "[[tokens=20 after=10 hold=drained]]")
    making = asyncio.create_task(worker.attempts.run(posted.generation_id))
    seen: list[Event] = []
    leaving = AsyncExitStack()
    url = await leaving.enter_async_context(serve(settings))
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=20) as http:
        http.headers["Authorization"] = client.http.headers["Authorization"]
        async with Client(http).read(posted.stream_url) as stream:
            events = stream.events()
            while text_of(seen) != numbered(10):
                seen.append(await anext(events))
            stopping = asyncio.create_task(leaving.aclose())  # what SIGTERM does
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(events)
            await stopping
    await groq_control.release(groq_url, "drained")
    async with client.read(posted.stream_url, seen[-1].id) as resumed:
        seen += await resumed.all()
    await making
    assert text_of(seen) == numbered(20)
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))


async def test_a_reader_that_takes_nothing_holds_up_nobody(
    client: Client, worker: Worker, api: str, groq_url: str
) -> None:
    posted = await post(client, "[[tokens=3000]]")
    host, port = api.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as lazy:
        request = f"GET {posted.stream_url} HTTP/1.1\r\nHost: x\r\nAuthorization: {client.http.headers['Authorization']}\r\n\r\n"
        lazy.sendall(request.encode())
        async with client.read(posted.stream_url) as stream:
            making = asyncio.create_task(worker.attempts.run(posted.generation_id))
            assert text_of(await stream.all()) == numbered(3000)
        await making


def forget(settings: Settings, generation_id: object) -> None:
    """Lose a log, as Redis does when it expires, or comes back without its data."""
    with Redis.from_url(settings.redis_url) as redis:
        assert redis.delete(log_key(generation_id)) == 1  # type: ignore[arg-type]


def serve_impatiently(settings: Settings):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """An API whose quiet interval is short."""
    return serve(settings.model_copy(update={"stream_keep_alive_seconds": 0.2}))
