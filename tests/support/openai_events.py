"""The events of OpenAI's door, read as a client reads Server-Sent Events."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx

Json = dict[str, Any]


class Refused(Exception):
    """A request was not answered with a stream."""


@dataclass
class ResponseReader:
    """A client of one response, which resumes. `number` is the last number that it has, `text` what the deltas said."""

    http: httpx.AsyncClient
    events: list[Json] = field(default_factory=list)
    id: str = ""
    number: int | None = None
    done: bool = False

    @property
    def text(self) -> str:
        return "".join(event["delta"] for event in self.events if event["type"] == "response.output_text.delta")

    @property
    def final(self) -> Json:
        """The response that the terminal event has."""
        assert self.done
        assert self.events[-1]["type"] in {"response.completed", "response.failed", "response.incomplete"}
        response: Json = self.events[-1]["response"]
        return response

    async def ask(self, body: Json, until: int | None = None) -> None:
        """Ask for a response, and read until so many events are there, or to the end."""
        async with self.http.stream("POST", "/v1/responses", json={**body, "stream": True}) as response:
            if response.status_code != httpx.codes.OK:
                raise Refused(response.status_code, await response.aread())
            await self._read(response, until)

    async def resume(self, until: int | None = None) -> None:
        """Go on behind the last number."""
        query: dict[str, str | int] = {
            "stream": "true",
            **({} if self.number is None else {"starting_after": self.number}),
        }
        async with self.http.stream("GET", f"/v1/responses/{self.id}", params=query) as response:
            if response.status_code != httpx.codes.OK:
                raise Refused(response.status_code, await response.aread())
            await self._read(response, until)

    async def _read(self, response: httpx.Response, until: int | None) -> None:
        async for event in events_of(response):
            if event is None:
                self.done = True
                return
            if not self.id:
                self.id = event["response"]["id"]
            self.events.append(event)
            self.number = event["sequence_number"]
            if until is not None and len(self.events) >= until:
                return


async def events_of(response: httpx.Response) -> AsyncIterator[Json | None]:
    """The events of a body, then None for `[DONE]`. Each event's type stands in its `event:` line too."""
    name, buffer = "", b""
    async for chunk in response.aiter_raw():
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            field_name, _, value = line.decode().partition(": ")
            if field_name == "event":
                name = value
            elif field_name == "data" and value == "[DONE]":
                yield None
            elif field_name == "data":
                event: Json = json.loads(value)
                assert event["type"] == name
                yield event
