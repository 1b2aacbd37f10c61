"""The load at `/v1/responses`: users who ask in every way, lose answers, come again by number, cancel; and their ledger."""

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import aiohttp
from chaos_load import TURNS_PER_CHAT, Load
from chaos_readers import RETRY_SECONDS
from chaos_response_readers import BEFORE_ALL, Json, Meanings, ResponseView, read_response, wrong_refusal

Way = Literal["stream", "background", "both", "whole"]
Place = Literal["conversation", "previous", "unstored", "new"]
WAYS: Final[dict[Way, int]] = {"stream": 11, "background": 4, "both": 2, "whole": 3}
"""How a response is asked for, by weight: as a stream, in the background, with both, or with neither."""
PLACES: Final[dict[Place, int]] = {"conversation": 4, "previous": 3, "unstored": 2, "new": 1}
SHARE_OF_LOST_ANSWERS: Final = 0.1
"""So many POSTs are left before their answer can have come."""
OVER: Final = frozenset({"completed", "failed", "cancelled", "incomplete"})
FAILURES: Final = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass
class Asked:
    """A request for a response, which is accepted once `response_id` is known.

    `began` is when it was made, in monotonic seconds. `whole` are the finished responses that came as one, `row` is what the
    finished response was when its first reader had it.
    """

    token: str
    tokens: int
    body: Json
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    response_id: str = ""
    meanings: Meanings = field(default_factory=Meanings)
    views: list[ResponseView] = field(default_factory=list)
    whole: list[Json] = field(default_factory=list)
    row: Json | None = None
    receipt: Json | None = None
    is_refused: bool = False
    began: float = field(default_factory=time.monotonic)
    wrong: list[str] = field(default_factory=list)

    @property
    def is_stored(self) -> bool:
        """Whether it stays."""
        return self.body.get("store") is not False

    @property
    def path(self) -> str:
        """Where the response is."""
        return f"/v1/responses/{self.response_id}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers of its user."""
        return {"Authorization": f"Bearer {self.token}"}

    def name(self, response_id: str) -> None:
        """Note the id that an answer to the request has. One key has one response."""
        if self.response_id and response_id != self.response_id:
            self.wrong.append(f"doubled: {response_id} too, by the same key")
        self.response_id = self.response_id or response_id


@dataclass
class Spoken:
    """A conversation of a user's, and the stored responses in it."""

    id: str = ""
    responses: list[str] = field(default_factory=list)


@dataclass
class Responses:
    """All users of this door. `asked` is what they asked for, accepted or not. Bad answers are noted in `load`."""

    load: Load
    asked: list[Asked] = field(default_factory=list)

    async def user(self, until: float) -> None:
        """One user's session, until a monotonic time. Every response is read to its end."""
        token = await self.load.sign_up()
        spoken = Spoken()
        while time.monotonic() < until:
            if not spoken.id or len(spoken.responses) >= TURNS_PER_CHAT:
                spoken = Spoken((await self.load.ask("POST", "/v1/conversations", token, {}))["id"])
            await self._converse(token, spoken)

    async def _converse(self, token: str, spoken: Spoken) -> None:
        """One response, and now and then something that gets in its way."""
        chance = self.load.rng.random
        asked = self._new(token, spoken)
        work = [asyncio.create_task(self._say(asked))]
        if chance() < 0.15:
            work.append(asyncio.create_task(self._cancel(asked)))
        if chance() < 0.1:
            await asyncio.sleep(self.load.rng.uniform(0.1, 2))
            work.append(asyncio.create_task(self._say(self._new(token, spoken))))
        await asyncio.gather(*work)
        if asked.is_stored and asked.views and (created := asked.views[0].created):
            conversation = created["conversation"]["id"]
            if conversation != spoken.id:
                spoken.id, spoken.responses = conversation, []
            spoken.responses.append(asked.response_id)

    def _new(self, token: str, spoken: Spoken) -> Asked:
        rng = self.load.rng
        tokens, said = self.load.message()
        body: Json = {"model": "double", "input": said}
        (way,) = rng.choices(list(WAYS), list(WAYS.values()))
        body |= {"stream": True} if way in {"stream", "both"} else {}
        body |= {"background": True} if way in {"background", "both"} else {}
        (place,) = rng.choices(list(PLACES), list(PLACES.values()))
        if place == "unstored":
            body.pop("background", None)  # which needs a response that is stored
            body |= {"store": False, **({"conversation": spoken.id} if rng.random() < 0.5 else {})}
        elif place == "previous" and spoken.responses:
            behind = spoken.responses[-1] if rng.random() < 0.7 else rng.choice(spoken.responses)
            body["previous_response_id"] = behind
        elif place != "new":
            body["conversation"] = spoken.id
        asked = Asked(token, tokens, body)
        self.asked.append(asked)
        return asked

    async def _say(self, asked: Asked) -> None:
        """Ask, read the response with one reader or two, and look at it once it is over."""
        view = ResponseView(asked.meanings)
        await self._post(asked, view)
        if asked.is_refused:
            return
        asked.views.append(view)
        readers = [self._follow(asked, view, restless=0.25, posts=0.2)]
        if self.load.rng.random() < 0.3:
            asked.views.append(ResponseView(asked.meanings))
            readers.append(self._follow(asked, asked.views[-1], restless=0.7))
        await asyncio.gather(*readers)
        asked.row = await self.load.ask("GET", asked.path, asked.token)

    async def _post(self, asked: Asked, view: ResponseView) -> None:
        """Ask until the request is accepted, or refused for good; repeating it is harmless, it has a key."""
        while not (asked.response_id or asked.is_refused):
            lost = self.load.rng.random() < SHARE_OF_LOST_ANSWERS
            try:
                async with asyncio.timeout(self.load.rng.uniform(0, 0.1) if lost else None):
                    await self._ask(asked, view)
            except FAILURES:
                await asyncio.sleep(RETRY_SECONDS)

    async def _ask(self, asked: Asked, view: ResponseView) -> None:
        """Send the request once, and take what it is answered with."""
        headers = {**asked.headers, "Idempotency-Key": asked.key}
        url = f"{self.load.any_url()}/v1/responses"
        async with self.load.http.post(url, json=asked.body, headers=headers) as response:
            if response.status != 200:
                await self._refused("POST", response, asked)
            elif asked.body.get("stream"):
                asked.name(f"resp_{response.headers['X-Generation-Id'].replace('-', '')}")
                await read_response(view, response, BEFORE_ALL, leave_after=self._leave_after(0.25))
            else:
                told = await response.json()
                asked.name(told["id"])
                if told["status"] in OVER:
                    asked.whole.append(told)

    async def _follow(self, asked: Asked, view: ResponseView, restless: float, posts: float = 0.0) -> None:
        """Read a response to its end, however often the stream is cut.

        Behind its number, or all again and what it has dropped, or by the same request again with a likelihood of `posts`.
        """
        rng = self.load.rng
        while not view.done:
            try:
                if asked.body.get("stream") and rng.random() < posts:
                    await self._ask(asked, view)
                    continue
                after = BEFORE_ALL if rng.random() < 0.15 else view.number
                await self.read(asked, view, after, self._leave_after(restless))
            except FAILURES:
                await asyncio.sleep(RETRY_SECONDS * rng.uniform(0.5, 1.5))

    async def read(
        self, asked: Asked, view: ResponseView, after: int = BEFORE_ALL, leave_after: int | None = None
    ) -> None:
        """Read the events behind a number, as far as the connection goes. Raises as `read_response`."""
        query = {"stream": "true", **({} if after == BEFORE_ALL else {"starting_after": str(after)})}
        url = self.load.any_url() + asked.path
        async with self.load.http.get(url, params=query, headers=asked.headers) as response:
            if response.status == 200:
                await read_response(view, response, after, leave_after=leave_after)
            else:
                await self._refused("GET", response)

    def _leave_after(self, restless: float) -> int | None:
        """After how many events a reader hangs up; None for one that stays."""
        return self.load.rng.randint(1, 60) if self.load.rng.random() < restless else None

    async def _cancel(self, asked: Asked) -> None:
        """Cancel the response somewhere in the middle."""
        await asyncio.sleep(self.load.rng.uniform(0.2, 3))
        while asked.response_id and asked.receipt is None:
            try:
                url = f"{self.load.any_url()}{asked.path}/cancel"
                async with self.load.http.post(url, headers=asked.headers) as response:
                    if response.status == 200:
                        told: Json = await response.json()
                        asked.receipt = told["receipt"]
                        if told["status"] in OVER:
                            asked.whole.append({name: told[name] for name in told if name != "receipt"})
                        return
                    await self._refused("cancel", response)
            except FAILURES:
                await asyncio.sleep(RETRY_SECONDS)

    async def _refused(self, what: str, response: aiohttp.ClientResponse, asked: Asked | None = None) -> None:
        """Note a refusal. `asked` may be refused for good, where its conversation is busy."""
        refusals = self.load.refusals
        refusals[response.status] = refusals.get(response.status, 0) + 1
        busy = ("generation_in_progress",) if asked is not None else ()
        if wrong := await wrong_refusal(response, *busy):
            self.load.bad.append(f"{what} {response.url.path}: {wrong}")
        if asked is not None and not asked.response_id:
            asked.is_refused = response.status not in {429, 503}
        await asyncio.sleep(1)

    def silences(self) -> list[tuple[float, float]]:
        """When the first readers had nothing to read, from and to."""
        return [gap for asked in self.asked for view in asked.views[:1] for gap in view.gaps]


def summary(responses: Responses) -> dict[str, Any]:
    """How many were accepted and answered, and how much was wrong."""
    accepted = [asked for asked in responses.asked if asked.response_id]
    return {
        "accepted": len(accepted),
        "answered": sum(asked.row is not None for asked in accepted),
        "wrong": sum(len(view.wrong) for asked in accepted for view in asked.views),
    }
