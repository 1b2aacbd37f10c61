"""Requests as useChat makes them, without the SDK: what it sends, what it is shown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx

from services.worker.runtime import Worker
from shared.ids import GenerationId
from tests.support.clients import Client, Event, Stream


def user_message(text: str, message_id: str | None = None, *parts: dict[str, Any]) -> dict[str, Any]:
    """A message of the user's."""
    return {"id": message_id or uuid4().hex[:16], "role": "user", "parts": [{"type": "text", "text": text}, *parts]}


@dataclass
class SdkChat:
    """A chat of a client's own name."""

    client: Client
    id: str = field(default_factory=lambda: uuid4().hex[:16])

    def body(self, message: dict[str, Any], trigger: str = "submit-message", **members: Any) -> dict[str, Any]:  # noqa: ANN401
        """What useChat sends."""
        return {"id": self.id, "messages": [message], "trigger": trigger, **members}

    async def post(self, message: dict[str, Any], trigger: str = "submit-message", **members: Any) -> httpx.Response:  # noqa: ANN401
        """Send a message, and leave as soon as the answer's headers are there. A refusal is read to its end."""
        async with self.open(message, trigger, **members) as stream:
            if stream.response.status_code != httpx.codes.OK:
                await stream.response.aread()
            return stream.response

    @asynccontextmanager
    async def open(
        self,
        message: dict[str, Any],
        trigger: str = "submit-message",
        **members: Any,  # noqa: ANN401
    ) -> AsyncIterator[Stream]:
        """Send a message and read the answer."""
        async with self.client.http.stream(
            "POST", "/api/chat", json=self.body(message, trigger, **members)
        ) as response:
            yield Stream(response)

    async def view(self) -> list[dict[str, Any]]:
        """The messages as a page is shown them when it is loaded."""
        messages: list[dict[str, Any]] = (await self.client.http.get(f"/api/chat/{self.id}")).raise_for_status().json()
        return messages

    async def resume(self) -> list[Event] | None:
        """What a page gets when it is mounted; None for 204."""
        async with self.client.read(f"/api/chat/{self.id}/stream") as stream:
            if stream.response.status_code == httpx.codes.NO_CONTENT:
                return None
            stream.response.raise_for_status()
            return await stream.all()

    async def say(self, worker: Worker, text: str, message_id: str | None = None, **members: Any) -> list[Event]:  # noqa: ANN401
        """Send a message, have it answered, and read the answer to its end."""
        return await self.answered(worker, user_message(text, message_id), **members)

    async def answered(
        self,
        worker: Worker,
        message: dict[str, Any],
        trigger: str = "submit-message",
        **members: Any,  # noqa: ANN401
    ) -> list[Event]:
        """Send a message in any way, have it answered, and read the answer to its end."""
        async with self.open(message, trigger, **members) as stream:
            making = asyncio.create_task(worker.attempts.run(generation_of(stream.response)))
            events = await stream.all()
        await making
        return events


def generation_of(response: httpx.Response) -> GenerationId:
    """The generation whose frames a response has."""
    return GenerationId(UUID(response.headers["x-generation-id"]))


def texts(messages: list[dict[str, Any]]) -> list[str]:
    """The texts of messages."""
    return ["".join(part.get("text", "") for part in message["parts"]) for message in messages]
