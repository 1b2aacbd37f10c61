"""One reader of one response, as a client of OpenAI's would be one that resumes: each number may mean one thing alone."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from chaos_readers import GAP_SECONDS

Json = dict[str, Any]

BEFORE_ALL: Final = -1
DELTA: Final = "response.output_text.delta"
TERMINAL: Final = frozenset({"response.completed", "response.failed", "response.incomplete"})
DOWN: Final = frozenset(
    {"queue_full", "too_busy", "completion_timed_out", "database_unavailable", "streams_unavailable"}
)
"""The codes of a 503 that docs/protocol.md names for these routes."""
_MEMBERS: Final = {"message", "type", "param", "code"}


@dataclass
class Meanings:
    """What each sequence number of a response was told to mean, by all of its readers: a character, or an event."""

    told: dict[int, str] = field(default_factory=dict)

    def note(self, event: Json) -> str:
        """Note an event. Returns what is wrong with it; "" where each of its numbers means what it meant before."""
        number = event["sequence_number"]
        if event["type"] == DELTA:
            said = event["delta"]
            meant = dict(enumerate(said, number - len(said) + 1))
        elif event.get("item", {}).get("type") == "reasoning":
            return ""  # which may be lost together with its log
        else:
            meant = {number: _canonical(event)}
        for each, now in meant.items():
            before = self.told.setdefault(each, now)
            if before != now:
                return f"number {each} meant {before[:300]!r}, and now {now[:300]!r}"
        return ""


def _canonical(event: Json) -> str:
    """An event without what the loss of reasoning changes (docs/protocol.md, "Two crashes at once")."""
    kept = {name: value for name, value in event.items() if name not in {"sequence_number", "output_index"}}
    if "response" in kept:
        kept["response"] = without_reasoning(kept["response"])
    return json.dumps(kept, sort_keys=True)


def without_reasoning(response: Json) -> Json:
    """A response without its reasoning items."""
    return {**response, "output": [item for item in response["output"] if item["type"] != "reasoning"]}


def text_of(response: Json) -> str:
    """The text of a response's messages."""
    messages = [item for item in response["output"] if item["type"] == "message"]
    return "".join(part["text"] for message in messages for part in message["content"])


@dataclass
class ResponseView:
    """What a reader has of a response, and what was wrong with what it got. Times are monotonic seconds.

    `number` is the last number that it has, `text` what the deltas said, `final` the response of the terminal event.
    """

    meanings: Meanings
    text: str = ""
    number: int = BEFORE_ALL
    created: Json | None = None
    terminal: str = ""
    final: Json | None = None
    done: bool = False
    connections: int = 0
    wrong: list[str] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    last_at: float = field(default_factory=time.monotonic)

    def take(self, event: Json, last: int) -> None:
        """Take an event, behind the number `last` of the same connection. What the reader has already, it drops."""
        number, kind = event["sequence_number"], event["type"]
        if number <= last:
            self.wrong.append(f"doubled: {kind} {number} follows {last} on one connection")
        if changed := self.meanings.note(event):
            self.wrong.append(f"mismatched: {changed}")
        begin = number - len(event["delta"]) if kind == DELTA else number - 1
        if number <= self.number:
            return
        if begin < self.number:
            self.wrong.append(
                f"doubled: a delta of {begin + 1} to {number}, and the reader has all up to {self.number}"
            )
        elif kind == DELTA and begin > self.number:
            self.wrong.append(f"lost: a delta of {begin + 1} to {number}, and the reader has all up to {self.number}")
        if self.terminal:
            self.wrong.append(f"doubled: {kind} after {self.terminal}")
        self._render(event)

    def _render(self, event: Json) -> None:
        now = time.monotonic()
        if now - self.last_at > GAP_SECONDS:
            self.gaps.append((self.last_at, now))
        self.last_at, self.number = now, event["sequence_number"]
        match event["type"]:
            case "response.output_text.delta":
                self.text += event["delta"]
            case "response.created":
                self.created = event["response"]
            case kind if kind in TERMINAL:
                self.terminal, self.final = kind, event["response"]


async def read_response(
    view: ResponseView, response: aiohttp.ClientResponse, after: int, *, leave_after: int | None = None
) -> None:
    """Read a stream that was asked for behind the number `after`, to its end or until so many events have come.

    Raises:
        aiohttp.ClientError: the stream was cut.
        TimeoutError: it went silent.

    """
    view.connections += 1
    taken, last = 0, after
    async for name, data in _events(response):
        if data == "[DONE]":
            view.done = True
            if not view.terminal:
                view.wrong.append(f"lost: [DONE] without a terminal event, behind {view.number}")
            return
        event = json.loads(data)
        if event["type"] != name:
            view.wrong.append(f"mismatched: {event['type']} as {name}")
        view.take(event, last)
        taken, last = taken + 1, event["sequence_number"]
        if leave_after is not None and taken >= leave_after:
            return
    view.wrong.append("lost: the stream ended cleanly without [DONE]")


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str]]:
    """The (type, data) of each event, as the body has them."""
    name = data = ""
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        key, _, value = line.partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            data = value
        elif not line and data:
            yield name, data
            name = data = ""


async def wrong_refusal(response: aiohttp.ClientResponse, *expected: str) -> str:
    """What is wrong with a refusal: its form is not OpenAI's, or it has none of the codes that are in order.

    Those are the ones of a 429, of a 503 that is documented, and the `expected` ones. Returns "" for one that is in order.
    """
    body = await response.read()
    told = f"{response.status} {body[:300]!r}"
    try:
        error = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError):
        return f"not in OpenAI's form: {told}"
    if not (isinstance(error, dict) and set(error) == _MEMBERS and error["message"] and error["type"]):
        return f"not in OpenAI's form: {told}"
    if response.status in {429, 503} and "Retry-After" not in response.headers:
        return f"without Retry-After: {told}"
    code = response.headers.get("X-Error-Code", "")
    if response.status == 429 or (response.status == 503 and code in DOWN) or code in expected:
        return ""
    return told
