"""Searching one's chats: titles first, then messages, and only what is the user's own and there."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.chats.search import EXCERPT_CHARS, SEARCHED_CHARS, SEARCHED_CHATS, SEARCHED_MESSAGES
from tests.support.clients import Client, logged_in
from tests.support.summaries import say
from tests.support.turns import execute


@pytest.fixture
async def client(api: str) -> AsyncIterator[Client]:
    """A user without chats."""
    async with logged_in(api) as made:
        yield made


async def titled(client: Client, title: str, **body: object) -> int:
    """A new chat with a title."""
    return int((await client.http.post("/api/chats", json={"title": title, **body})).raise_for_status().json()["id"])


async def search(client: Client, query: str, **parameters: int) -> list[dict[str, Any]]:
    """What is found."""
    answer = await client.http.get("/api/search", params={"q": query, **parameters})
    found: list[dict[str, Any]] = answer.raise_for_status().json()
    return found


async def found_ids(client: Client, query: str, **parameters: int) -> list[int]:
    """The ids of the chats that are found."""
    return [chat["id"] for chat in await search(client, query, **parameters)]


async def test_titles_come_first_then_messages_and_the_newest_of_each(client: Client, database_url: str) -> None:
    in_message, title, newer_title, other = [
        await titled(client, title) for title in ("Money", "Taxes of 2023", "My TAXES 2023", "Tides")
    ]
    newer_message = await titled(client, "Papers")
    say(database_url, in_message, "What of my taxes for 2023?", "They are due.")
    say(database_url, newer_message, "Hello", "Your 2023 taxes: paid.", "Good.", "Yes.")
    say(database_url, other, "taxes", "2023")
    found = await search(client, " taxes  2023 ")
    assert [chat["id"] for chat in found] == [newer_title, title, newer_message, in_message]
    assert [chat["message"] and (chat["message"]["position"], chat["message"]["excerpt"]) for chat in found] == [
        *(None, None),
        (2, "Your 2023 taxes: paid."),
        (1, "What of my taxes for 2023?"),
    ]
    assert await found_ids(client, "taxes 2023", limit=1) == [newer_title]
    assert await found_ids(client, "taxes 2023", limit=3) == [newer_title, title, newer_message]


async def test_only_the_users_own_chats_that_are_there_are_found(client: Client, user: Client) -> None:
    chat, trashed = await titled(client, "Kelp one"), await titled(client, "Kelp two")
    await titled(client, "Kelp three", temporary=True)
    await titled(user, "Kelp four")
    await client.http.post(f"/api/chats/{trashed}/trash")
    assert await found_ids(client, "kelp") == [chat]


async def test_what_means_something_to_the_database_stands_for_itself(client: Client) -> None:
    odd, plain = await titled(client, r"100% of a_b\c"), await titled(client, "100 of aXb")
    assert await found_ids(client, "100%") == [odd]
    assert await found_ids(client, "a_b") == [odd]
    assert await found_ids(client, "\\c") == [odd]
    assert await found_ids(client, "100") == [plain, odd]
    assert await found_ids(client, "'; DROP TABLE chats; --") == []


async def test_words_of_other_scripts_are_found_without_regard_to_case(client: Client) -> None:
    chats = [await titled(client, title) for title in ("STRASSE ÜBER", "Москва", "東京の天気")]
    for query, chat in zip(("über", "МОСКВА", "天気"), chats, strict=True):
        assert await found_ids(client, query) == [chat]


async def test_replaced_messages_are_not_found(client: Client, database_url: str) -> None:
    chat = await client.new_chat()
    say(database_url, chat, "a manatee", "Indeed.")
    assert await found_ids(client, "manatee") == [chat]
    execute(database_url, "UPDATE messages SET replaced = true, parent_position = 0 WHERE chat_id = %s", chat)
    assert await found_ids(client, "manatee") == []


async def test_a_long_message_is_shown_where_the_words_stand(client: Client, database_url: str) -> None:
    chat, far = await client.new_chat(), await client.new_chat()
    say(database_url, chat, "water " * 100 + "Dugong " + "sand " * 100, "Indeed.")
    say(database_url, far, "x" * SEARCHED_CHARS + " dugong", "Indeed.")
    (found,) = await search(client, "dugong")
    excerpt = found["message"]["excerpt"]
    assert "water Dugong sand" in excerpt
    assert len(excerpt) <= EXCERPT_CHARS + 2
    assert (excerpt[0], excerpt[-1]) == ("…", "…")


async def test_so_many_messages_of_so_many_chats_are_searched(client: Client, database_url: str) -> None:
    old = await client.new_chat()
    say(database_url, old, "a narwhal", "Indeed.")
    many = (
        "INSERT INTO chats (user_id, title, last_message_at)"
        " SELECT user_id, NULL, now() + interval '1 hour' FROM chats, generate_series(1, %s) WHERE id = %s"
    )
    execute(database_url, many, SEARCHED_CHATS - 1, old)
    assert await found_ids(client, "narwhal") == [old]
    say(database_url, old, *["Hello", "Indeed."] * (SEARCHED_MESSAGES // 2))
    assert await found_ids(client, "narwhal") == []
    say(database_url, old, "a narwhal", "Indeed.")
    assert await found_ids(client, "narwhal") == [old]
    execute(database_url, many, 1, old)
    assert await found_ids(client, "narwhal") == []
    await client.http.patch(f"/api/chats/{old}", json={"title": "Narwhals"})
    assert await found_ids(client, "narwhal") == [old]


@pytest.mark.parametrize("query", ["", " ", "\u200b", "x" * 201, "\0", None])
async def test_a_search_for_nothing_is_refused(client: Client, query: str | None) -> None:
    refused = await client.http.get("/api/search", params={} if query is None else {"q": query})
    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (422, "validation_failed", "q")


@pytest.mark.parametrize("limit", [0, 51])
async def test_so_many_chats_are_found_at_most(client: Client, limit: int) -> None:
    refused = await client.http.get("/api/search", params={"q": "x", "limit": limit})
    assert (refused.status_code, refused.json()["field"]) == (422, "limit")
