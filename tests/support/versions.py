"""Versions of a chat's messages, as a client makes and sees them."""

from typing import Any
from uuid import UUID

import httpx

from services.worker.runtime import Worker
from shared.ids import GenerationId
from tests.support.clients import Client

ASYNC = {"Prefer": "respond-async"}


async def regenerate(
    client: Client, chat: int, message: int, headers: dict[str, str] | None = None, **body: object
) -> httpx.Response:
    """Have a message answered anew, without waiting for the answer."""
    url = f"/api/chats/{chat}/messages/{message}/regenerate"
    return await client.http.post(url, json=body, headers=ASYNC | (headers or {}))


async def edit(
    client: Client, chat: int, message: int, content: str, headers: dict[str, str] | None = None, **body: object
) -> httpx.Response:
    """Edit a message, without waiting for the answer."""
    url = f"/api/chats/{chat}/messages/{message}"
    return await client.http.patch(url, json={"content": content, **body}, headers=ASYNC | (headers or {}))


async def choose(client: Client, chat: int, message: int) -> httpx.Response:
    """Choose a version."""
    return await client.http.post(f"/api/chats/{chat}/messages/{message}/choose")


async def delete(client: Client, chat: int, message: int) -> httpx.Response:
    """Delete a turn."""
    return await client.http.delete(f"/api/chats/{chat}/messages/{message}")


async def answered(worker: Worker, accepted: httpx.Response) -> dict[str, Any]:
    """Make the answer of a 202. Returns what the 202 said."""
    assert accepted.status_code == 202, accepted.text
    said: dict[str, Any] = accepted.json()
    await worker.attempts.run(GenerationId(UUID(said["generation"]["id"])))
    return said


async def say(client: Client, worker: Worker, chat: int, content: str) -> dict[str, Any]:
    """Say something, and have it answered. Returns what the 202 said."""
    return await answered(worker, await client.post_async(chat, content))


async def tree_of(client: Client, chat: int) -> list[dict[str, Any]]:
    """All messages of a chat, replaced ones too."""
    view = await client.http.get(f"/api/chats/{chat}?include=replaced")
    messages: list[dict[str, Any]] = view.raise_for_status().json()["messages"]
    return messages


async def path_of(client: Client, chat: int) -> list[str]:
    """What the messages of the active path say."""
    return [message["content"] for message in await client.messages(chat)]
