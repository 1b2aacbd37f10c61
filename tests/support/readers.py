"""Users and readers who don't give up: they go to whichever API answers, resume after every cut, and check every frame."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

import httpx

from tests.support.clients import NO_TLS, Client, Event, Stream, numbered

PATIENCE = 40.0
"""Seconds that an answer may take with all that happens to it: a stuck one shall fail its test, not time it out."""
RETRY = 0.05
"""Seconds before a client tries again."""
TERMINAL = frozenset({"finish", "error", "abort"})


class WrongFrame(AssertionError):
    """A reader got what it must not get."""


@dataclass
class Reader:
    """Reads one generation's stream to its end. What it has rendered is the beginning of a numbered answer, always.

    `leave_after`: it hangs up after so many frames and comes again. `parts` is all that it has besides the text.
    """

    user: "User"
    path: str
    chat_id: int
    tokens: int
    leave_after: int | None = None
    text: str = ""
    attempt: int = 0
    sequence: int = 0
    event_id: str = ""
    terminal: dict[str, Any] = field(default_factory=dict)
    connections: int = 0
    resets: int = 0
    parts: list[dict[str, Any]] = field(default_factory=list)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._reading = asyncio.create_task(self._read())

    @property
    def types(self) -> list[str]:
        """The types of the parts that it has."""
        return [part["type"] for part in self.parts]

    @property
    def generation_id(self) -> str:
        """The generation that it reads."""
        return self.path.split("/")[3]

    async def end(self) -> None:
        """Wait until the stream has ended with its terminal frame."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.shield(self._reading)

    async def said(self, tokens: int) -> None:
        """Wait until so many tokens are rendered."""
        await self._until(lambda: self.text.count(" ") >= tokens)

    async def attempted(self, attempt: int) -> None:
        """Wait until an attempt as high as this one writes."""
        await self._until(lambda: self.attempt >= attempt)

    async def _until(self, holds: Any) -> None:  # noqa: ANN401
        async with asyncio.timeout(PATIENCE):
            while not holds():
                if self._reading.done():
                    self._reading.result()
                    raise WrongFrame(f"{self.path} ended too early, at {self.event_id}")
                self._moved.clear()
                moving = asyncio.create_task(self._moved.wait())
                await asyncio.wait([moving, self._reading], return_when=asyncio.FIRST_COMPLETED)
                moving.cancel()

    def leave(self) -> None:
        """Stop reading."""
        self._reading.cancel()

    async def _read(self) -> None:
        for turn in count():
            headers = {"Last-Event-ID": self.event_id} if self.event_id else {}
            try:
                async with self.user.stream("GET", self.path, turn, headers=headers) as response:
                    if response.status_code == httpx.codes.NO_CONTENT and self.terminal:
                        return
                    if response.status_code == httpx.codes.OK and await self._take_all(Stream(response)):
                        return
            except httpx.TransportError:
                pass
            if self.leave_after is None:
                await asyncio.sleep(RETRY)

    async def _take_all(self, stream: Stream) -> bool:
        """Take what comes on one connection. Returns whether it was the end."""
        self.connections += 1
        if not self.event_id:
            self._begin_anew()
        taken = 0
        async for event in stream.events():
            if any(part["type"] == "data-reset" for part in stream.transient_frames):
                self.resets += 1
                self._begin_anew()
            stream.transient_frames.clear()
            self._take(event)
            taken += 1
            if taken == self.leave_after:
                return False
        if not stream.done:
            raise WrongFrame(f"{self.path} ended cleanly without its end, at {self.event_id}")
        if not self.terminal:
            raise WrongFrame(f"{self.path} is [DONE] without a terminal frame, at {self.event_id}")
        return True

    def _begin_anew(self) -> None:
        self.text, self.attempt, self.sequence, self.event_id, self.terminal = "", 0, 0, "", {}
        self.parts = []

    def _take(self, event: Event) -> None:
        attempt = int(event.id.rpartition(":")[2].partition("-")[0])
        if event.sequence != self.sequence + 1 or attempt < self.attempt:
            raise WrongFrame(f"{self.path}: {event.id} follows {self.event_id}")
        if self.terminal:
            raise WrongFrame(f"{self.path}: {event.part} follows {self.terminal}")
        self.attempt, self.sequence, self.event_id = attempt, event.sequence, event.id
        if event.part["type"] == "text-delta":
            self.text += event.part["delta"]
            if not numbered(self.tokens).startswith(self.text):
                raise WrongFrame(f"{self.path}: …{self.text[-40:]!r} at {event.id}")
        else:
            self.parts.append(event.part)
        if event.part["type"] in TERMINAL:
            self.terminal = event.part
        self._moved.set()


@dataclass
class User:
    """A logged-in user of several APIs. A request is made again, at the next one, until it is answered.

    The only refusal that is allowed is 503 with Retry-After; a connection may be cut.
    """

    http: httpx.AsyncClient
    urls: list[str]
    refused: int = 0
    readers: list[Reader] = field(default_factory=list)

    @asynccontextmanager
    async def stream(self, method: str, path: str, turn: int, **request: Any) -> AsyncIterator[httpx.Response]:  # noqa: ANN401
        """Ask one API, the `turn` says which. A response other than 503 has succeeded."""
        async with self.http.stream(method, self.urls[turn % len(self.urls)] + path, **request) as response:
            if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                assert int(response.headers["Retry-After"]) >= 1
                self.refused += 1
            elif not response.is_success:
                await response.aread()
                raise AssertionError(f"{method} {path}: {response.status_code} {response.text}")
            yield response

    async def send(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401
        """Make a request that may be repeated, until it is answered."""
        async with asyncio.timeout(PATIENCE):
            for turn in count():
                try:
                    async with self.stream(method, path, turn, **request) as response:
                        if response.is_success:
                            await response.aread()
                            return response
                except httpx.TransportError:
                    self.refused += 1
                await asyncio.sleep(RETRY)
        raise AssertionError

    async def ask(
        self, tokens: int, *, rate: float = 0, hold: str = "", after: int = 0, leave_after: int | None = None
    ) -> Reader:
        """Ask for an answer of so many numbered tokens, in a chat of its own. Returns its reader, which reads already."""
        chat_id = (await self.send("POST", "/api/chats")).json()["id"]
        gate = f" after={after} hold={hold}" if hold else ""
        accepted = await self.send(
            "POST",
            f"/api/chats/{chat_id}/messages",
            json={"content": f"[[tokens={tokens} rate={rate}{gate}]]"},
            headers={"Prefer": "respond-async", "Idempotency-Key": uuid4().hex},
        )
        self.readers.append(Reader(self, accepted.json()["stream_url"], chat_id, tokens, leave_after))
        return self.readers[-1]

    async def ask_many(
        self, answers: int, tokens: int, *, rate: float = 0, hold: str = "", after: int = 0
    ) -> list[Reader]:
        """Ask for several answers at the same time."""
        asking = (self.ask(tokens, rate=rate, hold=hold, after=after) for _ in range(answers))
        return list(await asyncio.gather(*asking))

    async def all_is_well(self, readers: Sequence[Reader] | None = None) -> None:
        """Wait for the answers' ends, and compare: asked, read, read again, saved; and each was made once."""
        readers = self.readers if readers is None else readers
        await asyncio.gather(*(reader.end() for reader in readers))
        await asyncio.gather(*(self._is_well(reader) for reader in readers))

    async def _is_well(self, reader: Reader) -> None:
        whole = numbered(reader.tokens)
        assert (reader.terminal["type"], reader.text) == ("finish", whole)
        late = Reader(self, reader.path, reader.chat_id, reader.tokens)
        await late.end()
        assert (late.terminal, late.text) == (reader.terminal, whole)
        question, reply = (await self.send("GET", f"/api/chats/{reader.chat_id}")).json()["messages"]
        assert (question["position"], reply["position"]) == (1, 2)
        assert (reply["status"], reply["content"]) == ("completed", whole)
        generation = (await self.send("GET", f"/api/generations/{reader.generation_id}")).json()
        assert (generation["status"], generation["assistant_message_id"]) == ("completed", reply["id"])


@asynccontextmanager
async def user_of(*urls: str) -> AsyncIterator[User]:
    """A new user of these APIs, who is gone with the block."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(verify=NO_TLS, timeout=20, limits=limits) as http:
        http.base_url = httpx.URL(urls[0])
        await Client(http).sign_up()
        user = User(http, list(urls))
        yield user
        for reader in user.readers:
            reader.leave()
