"""The trash: chats there are absent to every route but those of the trash, and come back as they were."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import httpx
import pytest

from services.api.app import create_app
from tests.conftest import settings_for
from tests.support.ai_sdk import SdkChat, texts, user_message
from tests.support.clients import Client, logged_in, refusal_of
from tests.support.turns import execute

NAMES_IN_PATHS: Final = ("{chat_id}", "{message_id}", "{generation_id}", "{chat_name}")
RESTORE: Final = ("post", "/api/chats/{chat_id}/restore")
"""The one route with a chat's id that finds a chat in the trash."""
BODIES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("patch", "/api/chats/{chat_id}"): {"title": "Sea"},
    ("patch", "/api/chats/{chat_id}/memory"): {"summary": "Sea."},
    ("post", "/api/chats/{chat_id}/messages"): {"content": "Hello"},
    ("patch", "/api/chats/{chat_id}/messages/{message_id}"): {"content": "Hello"},
}
EMPTY: Final = {("get", "/api/chat/{chat_name}"): (200, "[]"), ("get", "/api/chat/{chat_name}/stream"): (204, "")}
"""What the AI SDK's door says of a chat that does not exist, since its clients name chats before they exist."""


class Turn(NamedTuple):
    """A chat with one turn."""

    chat_id: int
    message_id: int
    generation_id: str

    def path(self, template: str) -> str:
        return template.format(**self._asdict(), chat_name=self.chat_id)


def routes() -> list[tuple[str, str]]:
    """(method, path) of every route of the OpenAPI document that takes the id of a chat, a message or a generation."""
    app = create_app(settings_for("postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1", "http://127.0.0.1:1"))
    return [
        (method, path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if any(name in path for name in NAMES_IN_PATHS) and (method, path) != RESTORE
    ]


@pytest.fixture
async def client(api: str) -> AsyncIterator[Client]:
    """A user without chats."""
    async with logged_in(api) as made:
        yield made


async def say(client: Client, content: str = "Hello", **headers: str) -> Turn:
    """A new chat with one turn, which nobody answers."""
    chat = await client.new_chat()
    turn = (await client.post_async(chat, content, headers=headers)).raise_for_status().json()
    return Turn(chat, turn["message"]["id"], turn["generation"]["id"])


async def trash(client: Client, chat: int) -> None:
    """Move a chat to the trash."""
    assert (await client.http.post(f"/api/chats/{chat}/trash")).status_code == 204


async def listed(client: Client, path: str = "/api/chats") -> list[int]:
    """The ids of the chats in a list."""
    return [chat["id"] for chat in (await client.http.get(path)).raise_for_status().json()]


async def ask(client: Client, method: str, template: str, turn: Turn) -> httpx.Response:
    """A request that lacks nothing but its chat."""
    return await client.http.request(method, turn.path(template), json=BODIES.get((method, template)))


def test_there_are_routes_to_ask() -> None:
    assert len(routes()) > 15
    assert set(BODIES) | set(EMPTY) <= set(routes())


@pytest.mark.parametrize(("method", "template"), routes())
async def test_every_route_answers_as_for_a_chat_that_does_not_exist(
    client: Client, method: str, template: str
) -> None:
    trashed, gone = await say(client), await say(client)
    await trash(client, trashed.chat_id)
    (await client.http.delete(f"/api/chats/{gone.chat_id}")).raise_for_status()
    one, another = [await ask(client, method, template, turn) for turn in (trashed, gone)]
    if expected := EMPTY.get((method, template)):
        assert (one.status_code, one.text) == (another.status_code, another.text) == expected
    else:
        assert one.status_code == 404
        assert refusal_of(one) == refusal_of(another)


async def test_no_ticket_is_given_for_a_stream_of_a_chat_in_the_trash(client: Client) -> None:
    said = await say(client)
    await trash(client, said.chat_id)
    for named in ({"chat_id": said.chat_id}, {"generation_id": said.generation_id}):
        assert (await client.http.post("/api/auth/stream-ticket", json=named)).status_code == 404


async def test_a_message_that_is_repeated_finds_no_chat_in_the_trash(client: Client) -> None:
    key = {"Idempotency-Key": "one"}
    said = await say(client, "Hello", **key)
    question, reply = await client.messages(said.chat_id)
    await trash(client, said.chat_id)
    for headers in (key, {"Last-Event-ID": f"{reply['id']}:1-1"}):
        refused = await client.post_async(said.chat_id, question["content"], headers=headers)
        assert refusal_of(refused) == (404, "chat_not_found")
    other = await client.post_async(await client.new_chat(), "Hello", headers=key)
    assert other.json()["code"] == "idempotency_key_reused"


async def test_the_trash_lists_what_was_deleted_last_first_page_by_page(client: Client, database_url: str) -> None:
    chats = [await client.new_chat() for _ in range(4)]
    kept, *deleted = chats
    for chat in deleted[::-1]:
        await trash(client, chat)
    assert await listed(client) == [kept]
    assert await listed(client, "/api/trash") == deleted
    first = await client.http.get("/api/trash?limit=2")
    link = first.headers["Link"]
    assert await listed(client, link[1 : link.index(">")]) == deleted[2:]
    shown = first.json()[0]
    days = "SELECT extract(day FROM %s::timestamptz - %s::timestamptz)::int"
    assert execute(database_url, days, shown["expires_at"], shown["deleted_at"]) == [(30,)]
    assert refusal_of(await client.http.get("/api/trash?cursor=x")) == (422, "cursor_invalid")


async def test_a_restored_chat_is_as_it_was_but_what_was_generated_is_cancelled(client: Client) -> None:
    said = await say(client)
    newer = await client.new_chat()
    before = (await client.http.get(f"/api/chats/{said.chat_id}")).json()
    await trash(client, said.chat_id)
    restored = await client.http.post(f"/api/chats/{said.chat_id}/restore")
    after = (await client.http.get(f"/api/chats/{said.chat_id}")).json()
    assert restored.json() == {name: after[name] for name in restored.json()}
    reply = after["messages"][1]
    assert (reply["status"], reply["generation"]["status"]) == ("cancelled", "cancelled")
    assert {**after, "messages": 0} == {**before, "messages": 0}
    assert after["messages"][0] == before["messages"][0]
    assert await listed(client) == [newer, said.chat_id]
    assert await listed(client, "/api/trash") == []
    assert (await client.post_async(said.chat_id, "Again")).status_code == 202


async def test_restoring_is_harmless_for_a_chat_that_is_there_and_finds_no_others(client: Client, user: Client) -> None:
    chat, foreign, gone = await client.new_chat(), await user.new_chat(), await client.new_chat()
    await trash(user, foreign)
    (await client.http.delete(f"/api/chats/{gone}")).raise_for_status()
    assert (await client.http.post(f"/api/chats/{chat}/restore")).json()["id"] == chat
    for absent in (foreign, gone):
        for action in ("restore", "trash"):
            refused = await client.http.post(f"/api/chats/{absent}/{action}")
            assert refusal_of(refused) == (404, "chat_not_found")
    assert foreign in await listed(user, "/api/trash")
    assert await listed(client, "/api/trash") == []


async def test_a_clients_name_is_free_while_its_chat_is_in_the_trash(client: Client) -> None:
    sdk = SdkChat(client)
    await sdk.post(user_message("One"), on_conflict="enqueue")
    (first,) = await listed(client)
    await trash(client, first)
    assert await sdk.view() == []
    await sdk.post(user_message("Two"))
    (second,) = await listed(client)
    assert second != first
    assert [text for text in texts(await sdk.view()) if text] == ["Two"]
    (await client.http.post(f"/api/chats/{first}/restore")).raise_for_status()  # its name is taken by now
    assert [text for text in texts(await sdk.view()) if text] == ["Two"]
    await trash(client, second)
    assert await sdk.view() == []
    (await client.http.post(f"/api/chats/{second}/restore")).raise_for_status()
    assert [text for text in texts(await sdk.view()) if text] == ["Two"]


async def test_facts_of_a_chat_in_the_trash_are_not_shared_and_can_be_forgotten(client: Client) -> None:
    chat = await client.new_chat()
    fact = {"text": "I am ill.", "kind": "health"}
    (await client.http.patch(f"/api/chats/{chat}/memory", json={"facts": [fact]})).raise_for_status()

    async def shared() -> list[Any]:
        return list((await client.http.get("/api/memory")).json()["facts"])

    (seen,) = await shared()
    await trash(client, chat)
    assert await shared() == []
    change = {"facts": [{"id": seen["id"], "text": "I am well."}]}
    assert refusal_of(await client.http.patch("/api/memory", json=change)) == (422, "memory_item_not_found")
    await client.http.post(f"/api/chats/{chat}/restore")
    assert await shared() == [seen]
    await trash(client, chat)
    assert (await client.http.delete("/api/memory")).status_code == 204
    await client.http.post(f"/api/chats/{chat}/restore")
    assert await shared() == []


async def test_a_deleted_account_takes_its_trash_along(client: Client, database_url: str) -> None:
    said = await say(client)
    await trash(client, said.chat_id)
    (await client.http.delete("/api/auth/me")).raise_for_status()
    assert execute(database_url, "SELECT id FROM chats WHERE id = %s", said.chat_id) == []


async def test_of_a_message_and_the_trash_at_once_one_comes_first(client: Client, database_url: str) -> None:
    statuses: Counter[tuple[int, int]] = Counter()
    for _ in range(20):
        chat = await client.new_chat()
        said, moved = await asyncio.gather(
            client.post_async(chat, "Hello"), client.http.post(f"/api/chats/{chat}/trash")
        )
        statuses[said.status_code, moved.status_code] += 1
    assert set(statuses) <= {(202, 204), (404, 204)}
    still_open = (
        "SELECT count(*) FROM generations JOIN chats ON chats.id = chat_id"
        " WHERE deleted_at IS NOT NULL AND status IN ('waiting', 'queued', 'running')"
    )
    assert execute(database_url, still_open) == [(0,)]
