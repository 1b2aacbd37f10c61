"""A client as a frontend would be one: HTTP, JSON, Server-Sent Events."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

PASSWORD = "correct horse battery"
BEFORE_ALL_FRAMES = ":0-0"
"""How the event id ends that a stream has at its beginning. It is the first frame's, if that is in no log."""
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Every httpx client makes a context of its own, which takes 40 ms; here all is plain HTTP."""


@dataclass(frozen=True)
class Event:
    """One SSE event, and the part that it carries."""

    id: str
    part: dict[str, Any]

    @property
    def sequence(self) -> int:
        return int(self.id.rpartition("-")[2])


@dataclass
class Stream:
    """An open stream; `done` once it has ended with [DONE]. `transient_frames` are in no log, so they have no id.

    `commented` is set when the next comment, a ping, has come.
    """

    response: httpx.Response
    done: bool = False
    transient_frames: list[dict[str, Any]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    commented: asyncio.Event = field(default_factory=asyncio.Event)

    async def events(self) -> AsyncIterator[Event]:
        """The events, as they come. Parses lines as the SSE standard says, not as Python's splitlines would."""
        event_id, buffer = "", b""
        async for chunk in self.response.aiter_raw():
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                name, _, value = line.decode().partition(": ")
                if name == "id":
                    event_id = value
                elif line.startswith(b":"):
                    self.comments.append(value)
                    self.commented.set()
                elif name == "data" and value == "[DONE]":
                    self.done = True
                elif name == "data" and event_id and not event_id.endswith(BEFORE_ALL_FRAMES):
                    yield Event(event_id, json.loads(value))
                    event_id = ""
                elif name == "data":
                    self.transient_frames.append(json.loads(value))
                    event_id = ""

    async def all(self) -> list[Event]:
        """Every event until the stream's end."""
        return [event async for event in self.events()]


def text_of(events: list[Event]) -> str:
    """What a reader renders."""
    return "".join(event.part["delta"] for event in events if event.part["type"] == "text-delta")


def error_of(events: list[Event]) -> str:
    """The code of the error that an answer ended with."""
    told, end = events[-2].part, events[-1].part
    assert (told["type"], end["type"], end["errorText"]) == ("data-error", "error", told["data"]["message"])
    return str(told["data"]["code"])


def types_of(events: list[Event]) -> list[str]:
    """The parts' types, runs of deltas as one."""
    types: list[str] = []
    for event in events:
        if not (types and types[-1] == event.part["type"] == "text-delta"):
            types.append(event.part["type"])
    return types


def numbered(count: int) -> str:
    """What the Groq double says."""
    return "".join(f"t{number} " for number in range(1, count + 1))


class Client:
    """A logged-in user."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    @property
    def token(self) -> str:
        """What the login gave."""
        return self.http.headers["Authorization"].removeprefix("Bearer ")

    async def sign_up(self, email: str | None = None) -> str:
        """Make an account and log in. Returns the e-mail address."""
        email = email or f"{uuid4().hex}@example.com"
        credentials = {"email": email, "password": PASSWORD}
        (await self.http.post("/api/auth/signup", json=credentials)).raise_for_status()
        login = (await self.http.post("/api/auth/login", json=credentials)).raise_for_status()
        self.http.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
        return email

    async def new_chat(self) -> int:
        """Make a chat. Returns its id."""
        chat_id: int = (await self.http.post("/api/chats")).raise_for_status().json()["id"]
        return chat_id

    @asynccontextmanager
    async def post(
        self, chat_id: int, content: str, *, headers: Mapping[str, str] | None = None, **body: str
    ) -> AsyncIterator[Stream]:
        """Say something and read the answer."""
        url = f"/api/chats/{chat_id}/messages"
        request = self.http.stream("POST", url, json={"content": content, **body}, headers=headers)
        async with request as response:
            if response.status_code != 200:
                await response.aread()
            response.raise_for_status()
            yield Stream(response)

    async def post_async(
        self, chat_id: int, content: str, *, headers: Mapping[str, str] | None = None, **body: str
    ) -> httpx.Response:
        """Say something and don't wait for the answer."""
        url = f"/api/chats/{chat_id}/messages"
        headers = {"Prefer": "respond-async", **(headers or {})}
        return await self.http.post(url, json={"content": content, **body}, headers=headers)

    @asynccontextmanager
    async def read(self, url: str, last_event_id: str | None = None) -> AsyncIterator[Stream]:
        """Read a stream from the start, or after an event."""
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        async with self.http.stream("GET", url, headers=headers) as response:
            yield Stream(response)

    async def messages(self, chat_id: int) -> list[dict[str, Any]]:
        """The chat's messages."""
        chat = (await self.http.get(f"/api/chats/{chat_id}")).raise_for_status().json()
        messages: list[dict[str, Any]] = chat["messages"]
        older = chat["older_url"]
        while older:
            page = (await self.http.get(older)).raise_for_status()
            messages = page.json() + messages
            older = page.links.get("prev", {}).get("url")
        return messages


@asynccontextmanager
async def logged_in(url: str) -> AsyncIterator[Client]:
    """A new user of this API."""
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=20) as http:
        client = Client(http)
        await client.sign_up()
        yield client


def refusal_of(response: httpx.Response) -> tuple[int, str]:
    """The status and the code of a refusal, in the form of any door."""
    code = response.headers.get("X-Error-Code")
    return response.status_code, code if code is not None else response.json()["code"]
