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
from tests.support.clients import NO_TLS, PASSWORD, Client, Event, Stream, numbered, text_of
from tests.support.signed_in import Browser
from tests.support.turns import execute, post

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
