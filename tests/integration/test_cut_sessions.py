"""Ending a session cuts its open streams, in every API process; a client that is logged in by other means goes on."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

import httpx
import jwt
import pytest

from services.worker.runtime import Worker
from shared.settings import Settings
from tests.conftest import SECRET
from tests.doubles import groq_control
from tests.integration.conftest import serve
from tests.support.admins import Person, new_admin
from tests.support.clients import NO_TLS, PASSWORD, Client, Event, Stream, numbered, text_of
from tests.support.signed_in import Browser
from tests.support.turns import SAID, execute, post, speaking

WITHIN = 5.0
"""Seconds within which a stream is cut, as docs/accounts.md promises."""


@asynccontextmanager
async def client_of(url: str, **headers: str) -> AsyncIterator[Client]:
    """Somebody at this API with these headers."""
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=20, headers=headers) as http:
        yield Client(http)


async def until_cut(response: httpx.Response) -> None:
    """Read on until the stream is cut, without its end."""
    with pytest.raises(httpx.RemoteProtocolError):
        async for _ in response.aiter_raw():
            pass


async def read_until_cut(stream: Stream, seen: list[Event]) -> None:
    """Read a generation's events until the stream is cut."""
    try:
        async for event in stream.events():
            seen.append(event)  # noqa: PERF401 - an error cuts off all of a comprehension
    except httpx.RemoteProtocolError:
        return
    pytest.fail("the stream has ended")


def session_of(token: str) -> int:
    """The session that an access token names."""
    return int(jwt.decode(token, SECRET, algorithms=["HS256"], audience="cortexai-api")["sid"])


async def test_ending_a_session_cuts_all_of_its_streams_in_every_process_and_no_others(
    client: Client, api: str, settings: Settings, database_url: str
) -> None:
    email = (await client.http.get("/api/auth/me")).json()["email"]
    posted, chat = await post(client, "Never answered"), await client.new_chat()
    bearer = client.http.headers["Authorization"]
    ticket = (await client.http.post("/api/auth/stream-ticket")).json()["ticket"]
    async with AsyncExitStack() as stack:
        other_api = await stack.enter_async_context(serve(settings))
        browser = Browser((await stack.enter_async_context(client_of(api))).http)
        (await browser.log_in(email)).raise_for_status()

        async def opened(url: str, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
            reader = await stack.enter_async_context(client_of(url, **headers))
            response = await stack.enter_async_context(reader.http.stream(method, path, json=body))
            assert response.status_code == 200
            return response

        ending = [
            await opened(api, "GET", "/api/events", Authorization=bearer),
            await opened(other_api, "GET", posted.stream_url, Authorization=bearer),
            await opened(other_api, "POST", f"/api/chats/{chat}/messages", {"content": "Hello"}, Authorization=bearer),
            await opened(api, "GET", f"/api/events?ticket={ticket}"),
        ]
        staying = await opened(api, "GET", "/api/events", Cookie=browser.headers()["Cookie"])
        told = staying.aiter_lines()
        await anext(told)
        execute(database_url, "DELETE FROM sessions WHERE id = %s", session_of(client.token))
        async with asyncio.timeout(WITHIN):
            await asyncio.gather(*map(until_cut, ending))
        (await browser.post("/api/chats")).raise_for_status()
        async for line in told:
            if "chat.created" in line:
                break
        else:
            pytest.fail("the other session's stream has ended")
    refused = await client.http.get(posted.stream_url)
    assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")


async def test_deleting_a_key_cuts_its_streams(client: Client, api: str, database_url: str) -> None:
    posted, chat = await post(client, "Never answered"), await client.new_chat()
    made = await client.http.post("/api/auth/keys", json={"name": "Report", "scopes": ["chat"]})
    key = {"Authorization": f"Bearer {made.raise_for_status().json()['key']}"}
    async with AsyncExitStack() as stack:
        program = (await stack.enter_async_context(client_of(api, **key))).http
        message = program.stream("POST", f"/api/chats/{chat}/messages", json={"content": "Hello"})
        of_key = [program.stream("GET", "/api/events"), program.stream("GET", posted.stream_url), message]
        ending = [await stack.enter_async_context(stream) for stream in of_key]
        assert [response.status_code for response in ending] == [200, 200, 200]
        execute(database_url, "DELETE FROM api_keys WHERE id = %s", made.json()["id"])
        async with asyncio.timeout(WITHIN):
            await asyncio.gather(*map(until_cut, ending))
        assert (await client.http.get(f"/api/chats/{chat}")).status_code == 200


async def test_disabling_a_user_cuts_all_of_the_users_streams_in_every_process_and_no_others(
    client: Client, api: str, settings: Settings, database_url: str
) -> None:
    posted = await post(client, "Never answered")
    made = await client.http.post("/api/auth/keys", json={"name": "Report", "scopes": ["chat"]})
    key = f"Bearer {made.raise_for_status().json()['key']}"
    ticket = (await client.http.post("/api/auth/stream-ticket")).json()["ticket"]
    person = await Person.of(client)
    async with AsyncExitStack() as stack:
        other_api = await stack.enter_async_context(serve(settings))
        admin = await stack.enter_async_context(new_admin(other_api, database_url))
        browser = Browser((await stack.enter_async_context(client_of(api))).http)
        (await browser.log_in(person.email)).raise_for_status()

        async def opened(url: str, path: str, **headers: str) -> httpx.Response:
            reader = await stack.enter_async_context(client_of(url, **headers))
            response = await stack.enter_async_context(reader.http.stream("GET", path))
            assert response.status_code == 200
            return response

        bearer = client.http.headers["Authorization"]
        ending = [
            await opened(api, "/api/events", Authorization=bearer),
            await opened(other_api, "/api/events", Authorization=bearer),
            await opened(api, "/api/events", Authorization=key),
            await opened(other_api, "/api/events", Authorization=key),
            await opened(other_api, f"/api/events?ticket={ticket}"),
            await opened(api, "/api/events", Cookie=browser.headers()["Cookie"]),
        ]
        staying = await opened(api, "/api/events", Authorization=admin.client.http.headers["Authorization"])
        told = staying.aiter_lines()
        await anext(told)
        (await admin.client.http.patch(person.path, json={"disabled": True})).raise_for_status()
        async with asyncio.timeout(WITHIN):
            await asyncio.gather(*map(until_cut, ending))
        (await admin.client.http.post("/api/chats")).raise_for_status()
        async for line in told:
            if "chat.created" in line:
                break
        else:
            pytest.fail("the admin's stream has ended")
    assert execute(database_url, "SELECT status FROM generations WHERE id = %s", posted.generation_id) == [
        ("cancelled",)
    ]


async def test_disabling_a_user_stops_the_users_answers_and_keeps_what_they_said(
    client: Client, worker: Worker, api: str, database_url: str, groq_url: str
) -> None:
    words, person = uuid4().hex, await Person.of(client)
    async with new_admin(api, database_url) as admin, speaking(client, worker, words) as speech:
        waiting = await client.post_async(speech.posted.chat_id, "And then?", on_conflict="enqueue")
        assert waiting.status_code == 202
        (await admin.client.http.patch(person.path, json={"disabled": True})).raise_for_status()
        (asked,) = await groq_control.requests(groq_url, containing=words, ended=1)
        assert asked["outcome"] == "abandoned"
    assert execute(database_url, "SELECT DISTINCT status FROM generations") == [("cancelled",)]
    (reply, _) = execute(database_url, "SELECT content FROM messages WHERE role = 'assistant' ORDER BY position")
    assert reply == (numbered(SAID),)


async def test_a_client_whose_token_runs_out_refreshes_and_loses_and_doubles_nothing(
    client: Client, worker: Worker, groq_url: str, api: str
) -> None:
    email = (await client.http.get("/api/auth/me")).json()["email"]
    credentials = {"email": email, "password": PASSWORD}
    login = (await client.http.post("/api/auth/login", json=credentials)).json()
    claims = jwt.decode(login["access_token"], SECRET, algorithms=["HS256"], audience="cortexai-api")
    hold = uuid4().hex
    posted = await post(client, f"[[tokens=20 after=10 hold={hold}]]")
    making = asyncio.create_task(worker.attempts.run(posted.generation_id))
    await groq_control.requests(groq_url, containing=hold, held=1)
    header = jwt.get_unverified_header(login["access_token"])
    now = int(time.time())  # clocks may differ by 10 s, so this is over in 4 s
    ending = jwt.encode({**claims, "iat": now - 60, "exp": now - 6}, SECRET, headers=header)
    seen: list[Event] = []
    async with client_of(api, Authorization=f"Bearer {ending}") as reader, asyncio.timeout(20):
        async with reader.read(posted.stream_url) as stream:
            await read_until_cut(stream, seen)
        assert text_of(seen) == numbered(10)
        refused = await reader.http.get(posted.stream_url, headers={"Last-Event-ID": seen[-1].id})
        assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")
        again = await reader.http.post("/api/auth/refresh", json={"refresh_token": login["refresh_token"]})
        reader.http.headers["Authorization"] = f"Bearer {again.raise_for_status().json()['access_token']}"
        async with reader.read(posted.stream_url, seen[-1].id) as resumed:
            await groq_control.release(groq_url, hold)
            seen += await resumed.all()
            assert resumed.done
    await making
    assert text_of(seen) == numbered(20)
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
