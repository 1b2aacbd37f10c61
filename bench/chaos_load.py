"""The load: users who post, read, reconnect, stop, and say two things at once; and the ledger of what was accepted."""

import asyncio
import json
import random
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from chaos_readers import RETRY_SECONDS, Follower, View, read

from tests.doubles.groq.directives import Seam

CHATS_PER_USER: Final = 3
TURNS_PER_CHAT: Final = 12
"""After so many turns a chat is left for a new one: what the model is told grows with a chat."""
SEAMS: Final[tuple[Seam, ...]] = ("well", "on", "again", "sentence", "preamble")
"""What a model may do that is told to go on, and leaves no seam."""
BREAKS_OFF: Final = 0.2
"""The share of answers that their model breaks off."""
BREAKS: Final = ("cut", "reset", "truncate", "malformed", "error")
PASSWORD: Final = "correct horse battery staple"


@dataclass
class Turn:
    """A message that was accepted, or is about to be."""

    chat_id: int
    token: str
    tokens: int
    body: dict[str, str]
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    generation_id: str = ""
    views: list[View] = field(default_factory=list)
    receipt: dict[str, Any] | None = None
    refused: int = 0

    @property
    def headers(self) -> dict[str, str]:
        """The headers of its user."""
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def stream(self) -> str:
        """The path of its permanent stream."""
        return f"/api/generations/{self.generation_id}/stream"


@dataclass
class Load:
    """All users. `turns` are those that were accepted, `bad` answers that should not be.

    `has_manners`: the model thinks first, refuses prefill and breaks off.
    """

    http: aiohttp.ClientSession
    urls: list[str]
    rng: random.Random
    has_manners: bool = False
    turns: list[Turn] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    refusals: dict[int, int] = field(default_factory=dict)

    async def user(self, until: float) -> None:
        """One user's session, until a monotonic time. Every turn is read to its end."""
        token = await self.sign_up()
        chats = [await self._new_chat(token) for _ in range(CHATS_PER_USER)]
        asked = dict.fromkeys(chats, 0)
        while time.monotonic() < until:
            chat = self.rng.choice(chats)
            await self._converse(chat, token)
            asked[chat] += 1
            if asked[chat] >= TURNS_PER_CHAT:
                chats.remove(chat)
                chats.append(await self._new_chat(token))
                asked[chats[-1]] = 0

    async def _converse(self, chat: int, token: str) -> None:
        """One turn, and now and then something that gets in its way."""
        turn = self._turn(chat, token)
        work = [asyncio.create_task(self._say(turn))]
        if self.rng.random() < 0.12:
            work.append(asyncio.create_task(self._stop(turn)))
        if self.rng.random() < 0.12:
            work.append(asyncio.create_task(self._interfere(turn)))
        await asyncio.gather(*work)

    def _turn(self, chat: int, token: str, on_conflict: str = "reject") -> Turn:
        tokens, content = self.message()
        return Turn(chat, token, tokens, {"content": content, "on_conflict": on_conflict})

    def message(self) -> tuple[int, str]:
        """How many tokens the answer has to have, and a message that says so."""
        tokens, rate = self.rng.randint(20, 120), self.rng.randint(15, 50)
        manners = f" {self._manners(tokens)}" if self.has_manners else ""
        # Each message is another conversation for the double, whose faults happen once in each.
        return tokens, f"{uuid.uuid4().hex} [[tokens={tokens} rate={rate}{manners}]]"

    def any_url(self) -> str:
        """The URL of one of the APIs."""
        return self.rng.choice(self.urls)

    def _manners(self, tokens: int) -> str:
        """A model that thinks first, refuses prefill, repeats itself when it is told to go on, and may break off."""
        thoughts = self.rng.randint(0, 20)
        manners = f"manner=no_prefill reasoning={thoughts} seam={self.rng.choice(SEAMS)}"
        if self.rng.random() < BREAKS_OFF:
            manners += f" fault={self.rng.choice(BREAKS)} after={thoughts + self.rng.randint(0, tokens - 1)} once=1"
        return manners

    async def _say(self, turn: Turn) -> None:
        """Post, and read the answer with one reader or two."""
        view = View()
        turn.views.append(view)
        await self._post(turn, view, wait=self.rng.random() < 0.7)
        if not turn.generation_id:
            turn.views.clear()
            return
        self.turns.append(turn)
        followers = [self._follower(turn).follow(turn.stream, view)]
        if self.rng.random() < 0.3:
            turn.views.append(View())
            followers.append(self._follower(turn, restless=0.7).follow(turn.stream, turn.views[-1]))
        await asyncio.gather(*followers)

    def _follower(self, turn: Turn, restless: float = 0.1) -> Follower:
        return Follower(self.http, self.urls, turn.headers, self.rng, self.bad, restless)

    async def _post(self, turn: Turn, view: View, *, wait: bool) -> None:
        """Post until the message is accepted, or refused for good; repeating it is harmless, it has a key."""
        path = f"/api/chats/{turn.chat_id}/messages"
        while True:
            headers = {**turn.headers, "Idempotency-Key": turn.key}
            if not wait:
                headers["Prefer"] = "respond-async"
            if view.event_id:
                headers["Last-Event-ID"] = view.event_id
            url = self.any_url() + path
            try:
                async with self.http.post(url, json=turn.body, headers=headers) as response:
                    if await self._answered(turn, view, response):
                        return
            except (aiohttp.ClientError, TimeoutError, OSError):
                if turn.generation_id and self.rng.random() < 0.5:
                    return  # go on at the permanent stream rather than by posting again
            await asyncio.sleep(RETRY_SECONDS)

    async def _answered(self, turn: Turn, view: View, response: aiohttp.ClientResponse) -> bool:
        """Take the answer to a POST. Returns whether that settles it."""
        if response.status == 202:
            turn.generation_id = (await response.json())["generation"]["id"]
            return True
        if response.status in {200, 204}:
            turn.generation_id = response.headers.get("X-Generation-Id", turn.generation_id)
            if response.status == 200:
                if not view.event_id:
                    view.begin_anew()
                await read(view, response)
            else:
                view.done = True
            return True
        self.refusals[response.status] = self.refusals.get(response.status, 0) + 1
        if response.status == 409:
            return turn.body["on_conflict"] == "reject"
        if response.status not in {429, 503}:
            self.bad.append(f"POST: {response.status} {(await response.text())[:200]}")
            return True
        await asyncio.sleep(1)
        return False

    async def _stop(self, turn: Turn) -> None:
        """Stop the answer somewhere in the middle."""
        await asyncio.sleep(self.rng.uniform(0.2, 3))
        while turn.generation_id and turn.receipt is None:
            try:
                url = f"{self.any_url()}/api/generations/{turn.generation_id}/cancel"
                async with self.http.post(url, headers=turn.headers) as response:
                    if response.status == 200:
                        turn.receipt = await response.json()
                    elif response.status != 503:
                        self.bad.append(f"cancel: {response.status} {(await response.text())[:200]}")
                        return
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(RETRY_SECONDS)

    async def _interfere(self, turn: Turn) -> None:
        """Say something else in the same chat before the answer is over."""
        await asyncio.sleep(self.rng.uniform(0.1, 2))
        on_conflict = self.rng.choice(["reject", "interrupt", "enqueue"])
        await self._say(self._turn(turn.chat_id, turn.token, on_conflict))

    async def ask(self, method: str, path: str, token: str = "", body: object = None) -> Any:  # noqa: ANN401
        """One request, tried until it is answered well. Returns its JSON."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        while True:
            try:
                url = self.any_url() + path
                async with self.http.request(method, url, json=body, headers=headers) as response:
                    answer = await response.read()
                    if response.status // 100 == 2:
                        return json.loads(answer)
                    if response.status == 409:
                        return {}
                    if response.status != 503:
                        self.bad.append(f"{method} {path}: {response.status} {answer[:200]!r}")
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(RETRY_SECONDS)

    async def sign_up(self) -> str:
        """A new user's token."""
        account = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}
        await self.ask("POST", "/api/auth/signup", body=account)
        token: str = (await self.ask("POST", "/api/auth/login", body=account))["access_token"]
        return token

    async def _new_chat(self, token: str) -> int:
        chat_id: int = (await self.ask("POST", "/api/chats", token, {}))["id"]
        return chat_id

    def silences(self) -> list[tuple[float, float]]:
        """When the first readers had nothing to read, from and to."""
        return [gap for turn in self.turns for view in turn.views[:1] for gap in view.gaps]
