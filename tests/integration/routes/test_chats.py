"""Chats over HTTP: theirs alone, newest activity first, page by page, one answer at a time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import httpx
import psycopg
import pytest

from tests.support.clients import Client, logged_in


@pytest.fixture(scope="module")
async def client(api: str) -> AsyncIterator[Client]:
    """A user with any number of chats already."""
    async with logged_in(api) as client:
        yield client


@pytest.fixture(scope="module")
async def stranger(api: str) -> AsyncIterator[Client]:
    """Another one."""
    async with logged_in(api) as client:
        yield client


@pytest.fixture
async def newcomer(api: str) -> AsyncIterator[Client]:
    """A user without chats."""
    async with logged_in(api) as client:
        yield client


def fill(database_url: str, chat_id: int, messages: int) -> None:
    """Give a chat so many messages."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO messages (chat_id, role, content, position, status)"
            " SELECT %s, 'user', 'm' || n, n, 'completed' FROM generate_series(1, %s) n",
            (chat_id, messages),
        )
        connection.execute("UPDATE chats SET last_position = %s WHERE id = %s", (messages, chat_id))


def end_all(database_url: str, chat_id: int) -> None:
    """End the chat's generations, as their worker would."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE generations SET status = 'completed', finished_at = now(), lease_expires_at = NULL WHERE chat_id = %s",
            (chat_id,),
        )


async def walk(http: httpx.AsyncClient, url: str) -> list[list[Any]]:
    """All pages from this one on, by their `Link` headers."""
    pages = []
    following: str | None = url
    while following is not None:
        response = (await http.get(following)).raise_for_status()
        pages.append(response.json())
        link = response.headers.get("Link")
        following = link[1 : link.index(">")] if link else None
        assert link is None or link.endswith('; rel="next"')
    return pages


async def listed(client: Client) -> list[int]:
    """The ids of the user's chats, as listed."""
    return [chat["id"] for chat in (await client.http.get("/api/chats")).raise_for_status().json()]


async def test_a_new_chat_is_empty_and_says_where_it_is(client: Client) -> None:
    made = await client.http.post("/api/chats", json={"title": "  Plans "})
    assert made.status_code == 201
    assert made.json()["title"] == "Plans"
    chat = (await client.http.get(made.headers["Location"])).raise_for_status().json()
    assert chat == {**made.json(), "messages": [], "older_url": None}


@pytest.mark.parametrize("body", [None, b"{}", b"null", b'{"title": null}'])
async def test_a_chat_needs_no_title(client: Client, body: bytes | None) -> None:
    made = await client.http.post("/api/chats", content=body, headers={"Content-Type": "application/json"})
    assert made.status_code == 201
    assert made.json()["title"] is None


async def test_chats_are_listed_by_their_newest_activity(newcomer: Client) -> None:
    first, second, third = [await newcomer.new_chat() for _ in range(3)]
    assert await listed(newcomer) == [third, second, first]
    await newcomer.post_async(first, "hello")
    assert await listed(newcomer) == [first, third, second]


async def test_renaming_is_no_activity(newcomer: Client) -> None:
    first, second = [await newcomer.new_chat() for _ in range(2)]
    await newcomer.http.patch(f"/api/chats/{first}", json={"title": "New"})
    assert await listed(newcomer) == [second, first]


@pytest.mark.parametrize("limit", [1, 3, 7, 8])
async def test_the_pages_of_the_list_hold_every_chat_once(newcomer: Client, database_url: str, limit: int) -> None:
    chats = [await newcomer.new_chat() for _ in range(7)]
    with psycopg.connect(database_url) as connection:  # the same moment for some: the id decides
        connection.execute("UPDATE chats SET last_message_at = now() WHERE id = ANY(%s)", (chats[2:5],))
    pages = await walk(newcomer.http, f"/api/chats?limit={limit}")
    assert [chat["id"] for page in pages for chat in page] == [
        *reversed(chats[2:5]),
        *reversed(chats[5:]),
        *reversed(chats[:2]),
    ]
    assert all(len(page) <= limit for page in pages)
    assert pages[-1]


async def test_a_chat_that_is_made_while_one_pages_moves_no_other(newcomer: Client) -> None:
    chats = [await newcomer.new_chat() for _ in range(4)]
    first = await newcomer.http.get("/api/chats?limit=2")
    await newcomer.new_chat()
    following = first.headers["Link"].partition(">")[0][1:]
    rest = (await newcomer.http.get(following)).json()
    assert [chat["id"] for chat in first.json() + rest] == list(reversed(chats))


async def test_a_user_without_chats_has_an_empty_list_and_no_next_page(newcomer: Client) -> None:
    response = await newcomer.http.get("/api/chats")
    assert response.json() == []
    assert "Link" not in response.headers


async def test_a_chat_is_renamed(client: Client) -> None:
    chat = await client.new_chat()
    renamed = (await client.http.patch(f"/api/chats/{chat}", json={"title": "Ünïcode 😀"})).raise_for_status().json()
    assert renamed["title"] == "Ünïcode 😀"
    assert datetime.fromisoformat(renamed["updated_at"]) > datetime.fromisoformat(renamed["created_at"])
    assert (await client.http.get(f"/api/chats/{chat}")).json()["title"] == "Ünïcode 😀"


async def test_a_chat_is_named_after_its_first_message(client: Client, database_url: str) -> None:
    chat = await client.new_chat()
    await client.post_async(chat, "  What is\nthe meaning " + "of it all " * 20)
    title = (await client.http.get(f"/api/chats/{chat}")).json()["title"]
    assert title.startswith("What is the meaning of it all")
    assert title.endswith("…")
    end_all(database_url, chat)
    await client.post_async(chat, "Something else")
    assert (await client.http.get(f"/api/chats/{chat}")).json()["title"] == title


async def test_a_title_that_the_user_gave_stays(client: Client) -> None:
    made = (await client.http.post("/api/chats", json={"title": "Mine"})).json()
    await client.post_async(made["id"], "hello")
    assert (await client.http.get(f"/api/chats/{made['id']}")).json()["title"] == "Mine"


async def test_deleting_a_chat_deletes_all_that_belongs_to_it(newcomer: Client, database_url: str) -> None:
    chat, kept = await newcomer.new_chat(), await newcomer.new_chat()
    for one in (chat, kept):
        await newcomer.post_async(one, "hello")
    assert (await newcomer.http.delete(f"/api/chats/{chat}")).status_code == 204
    for method in ("GET", "DELETE"):
        assert (await newcomer.http.request(method, f"/api/chats/{chat}")).status_code == 404
    assert await listed(newcomer) == [kept]
    with psycopg.connect(database_url) as connection:
        for table in ("messages", "generations"):
            query = f"SELECT chat_id FROM {table} WHERE chat_id IN (%s, %s)"  # noqa: S608 - the two names above
            assert set(connection.execute(query, (chat, kept)).fetchall()) == {(kept,)}


async def test_the_generation_of_a_deleted_chat_is_not_there(client: Client) -> None:
    chat = await client.new_chat()
    url = (await client.post_async(chat, "hello")).headers["Location"]
    assert (await client.http.get(url)).status_code == 200
    await client.http.delete(f"/api/chats/{chat}")
    assert (await client.http.get(url)).json()["code"] == "generation_not_found"


ROUTES = [
    ("GET", "", None),
    ("PATCH", "", {"title": "Mine now"}),
    ("DELETE", "", None),
    ("GET", "/messages", None),
    ("POST", "/messages", {"content": "hello"}),
    ("GET", "/stream", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_the_chat_of_another_user_is_answered_like_a_missing_one(
    client: Client, stranger: Client, method: str, path: str, body: dict[str, str] | None
) -> None:
    theirs = await client.new_chat()
    missing = theirs + 1_000_000
    answers = [await stranger.http.request(method, f"/api/chats/{chat}{path}", json=body) for chat in (theirs, missing)]
    assert [response.status_code for response in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    assert answers[0].json()["code"] == "chat_not_found"
    chat = (await client.http.get(f"/api/chats/{theirs}")).raise_for_status().json()
    assert (chat["title"], chat["messages"]) == (None, [])


@pytest.mark.parametrize("path", ["", "/stream"])
async def test_the_generation_of_another_user_is_answered_like_a_missing_one(
    client: Client, stranger: Client, path: str
) -> None:
    theirs = (await client.post_async(await client.new_chat(), "hello")).json()["generation"]["id"]
    missing = "0198c0de-0000-7000-8000-000000000001"
    answers = [await stranger.http.get(f"/api/generations/{one}{path}") for one in (theirs, missing)]
    assert [response.status_code for response in answers] == [404, 404]
    assert answers[0].content == answers[1].content


async def test_a_list_shows_nothing_of_others(client: Client, newcomer: Client) -> None:
    await client.new_chat()
    assert await listed(newcomer) == []


async def test_an_accepted_message_has_its_place_at_once_and_its_reply_the_next(client: Client) -> None:
    chat = await client.new_chat()
    accepted = (await client.post_async(chat, "hello")).json()
    question, reply = await client.messages(chat)
    assert (question["role"], question["content"], question["position"], question["status"]) == (
        "user",
        "hello",
        1,
        "completed",
    )
    assert (reply["role"], reply["content"], reply["position"], reply["status"]) == ("assistant", "", 2, "pending")
    assert accepted["message"]["id"] == question["id"]
    assert accepted["generation"]["assistant_message_id"] == reply["id"]


async def test_accepting_without_waiting_says_where_the_answer_will_be(client: Client) -> None:
    chat = await client.new_chat()
    response = await client.post_async(chat, "hello")
    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "respond-async"
    generation = (await client.http.get(response.headers["Location"])).raise_for_status().json()
    assert generation["id"] == response.json()["generation"]["id"]
    assert generation["stream_url"] == response.json()["stream_url"]
    assert (generation["status"], generation["attempt"], generation["finished_at"]) == ("queued", 0, None)


async def test_a_message_is_kept_to_the_letter(client: Client) -> None:
    chat = await client.new_chat()
    said = "  \r\n data: x\n\n\u2028 😀 <script> \ufeff %00 \\u0000 ' \" ; --\t"
    await client.post_async(chat, said)
    assert (await client.messages(chat))[0]["content"] == said


@pytest.mark.parametrize("content", ["x" * 32_000, "😀" * 32_000])
async def test_a_message_may_have_32000_characters(client: Client, content: str) -> None:
    chat = await client.new_chat()
    assert (await client.post_async(chat, content)).status_code == 202
    assert (await client.messages(chat))[0]["content"] == content


@pytest.mark.parametrize("limit", [1, 4, 9, 10])
async def test_the_pages_of_a_chat_hold_every_message_once_and_in_order(
    client: Client, database_url: str, limit: int
) -> None:
    chat = await client.new_chat()
    fill(database_url, chat, 9)
    pages = await walk(client.http, f"/api/chats/{chat}/messages?limit={limit}")
    assert [message["position"] for page in pages for message in page] == list(range(1, 10))
    assert all(0 < len(page) <= limit for page in pages)


async def test_messages_can_be_read_from_a_position_on(client: Client, database_url: str) -> None:
    chat = await client.new_chat()
    fill(database_url, chat, 5)
    messages = (await client.http.get(f"/api/chats/{chat}/messages?after=3")).json()
    assert [message["position"] for message in messages] == [4, 5]
    assert (await client.http.get(f"/api/chats/{chat}/messages?after={2**63 - 1}")).json() == []


async def test_a_chat_shows_its_newest_messages_and_where_the_older_ones_are(client: Client, database_url: str) -> None:
    chat = await client.new_chat()
    fill(database_url, chat, 250)
    shown = (await client.http.get(f"/api/chats/{chat}")).json()
    assert [message["position"] for message in shown["messages"]] == list(range(151, 251))
    older = await client.http.get(shown["older_url"])
    assert [message["position"] for message in older.json()] == list(range(51, 151))
    oldest = await client.http.get(older.links["prev"]["url"])
    assert [message["position"] for message in oldest.json()] == list(range(1, 51))
    assert "Link" not in oldest.headers
    assert [message["position"] for message in await client.messages(chat)] == list(range(1, 251))


async def test_a_chat_that_is_shown_whole_has_no_older_messages(client: Client, database_url: str) -> None:
    chat = await client.new_chat()
    assert (await client.http.get(f"/api/chats/{chat}")).json()["older_url"] is None
    fill(database_url, chat, 100)
    shown = (await client.http.get(f"/api/chats/{chat}")).json()
    assert (len(shown["messages"]), shown["older_url"]) == (100, None)


async def test_a_page_between_two_positions_is_read_from_its_end(client: Client, database_url: str) -> None:
    chat = await client.new_chat()
    fill(database_url, chat, 20)
    page = await client.http.get(f"/api/chats/{chat}/messages?after=3&before=9&limit=2")
    assert [message["position"] for message in page.json()] == [7, 8]
    assert page.links["prev"]["url"].startswith(f"/api/chats/{chat}/messages?")
    rest = await client.http.get(f"/api/chats/{chat}/messages?after=3&before=7")
    assert [message["position"] for message in rest.json()] == [4, 5, 6]
    assert (await client.http.get(f"/api/chats/{chat}/messages?before=1")).json() == []


def make_long(database_url: str, chat_id: int, longest: int) -> None:
    """Make a chat's messages long, each in its own way: by its text, its parts or its sources."""
    in_json = "jsonb_build_array(jsonb_build_object('text', repeat('ü', %s / 2)))"
    with psycopg.connect(database_url) as connection:
        for number, (column, value) in enumerate(
            {"content": "repeat('x', %s)", "parts": in_json, "sources": in_json}.items()
        ):
            statement = f"UPDATE messages SET {column} = {value} WHERE chat_id = %s AND position %% 3 = %s"  # noqa: S608
            connection.execute(statement.encode(), (longest, chat_id, number))


@pytest.mark.parametrize(
    "path", ["/api/chats/{}", "/api/chats/{}?include=replaced", "/api/chats/{}/messages", "/api/chat/{}"]
)
async def test_no_page_of_messages_is_longer_than_a_moment(client: Client, database_url: str, path: str) -> None:
    chat = await client.new_chat()
    fill(database_url, chat, 60)
    make_long(database_url, chat, 100_000)
    page = await client.http.get(path.format(chat))
    assert 250_000 < len(page.content) < 1_100_000
    seen, following = 0, page
    while True:
        found = following.json()
        messages = found["messages"] if isinstance(found, dict) else found
        assert len(following.content) < 1_100_000
        seen += len(messages)
        links = {link["rel"]: link["url"] for link in following.links.values()}
        url = found["older_url"] if isinstance(found, dict) else links.get("prev", links.get("next"))
        if url is None:
            break
        following = await client.http.get(url)
    assert seen == 60


async def test_a_message_that_is_too_long_for_a_page_is_one_by_itself(client: Client, database_url: str) -> None:
    chat = await client.new_chat()
    fill(database_url, chat, 3)
    make_long(database_url, chat, 1_500_000)
    for url in (f"/api/chats/{chat}/messages", f"/api/chats/{chat}/messages?before=4"):
        page = await client.http.get(url)
        assert len(page.json()) == 1
        assert page.links
    assert [message["position"] for message in await client.messages(chat)] == [1, 2, 3]


async def test_the_sdk_is_shown_the_newest_messages_and_where_older_ones_are(client: Client, database_url: str) -> None:
    chat = await client.new_chat()
    fill(database_url, chat, 130)
    newest = await client.http.get(f"/api/chat/{chat}")
    older = await client.http.get(newest.links["prev"]["url"])
    texts = [message["parts"][0]["text"] for message in older.json() + newest.json()]
    assert texts == [f"m{number}" for number in range(1, 131)]
    assert not older.links


async def test_a_version_that_is_chosen_shows_the_newest_messages(client: Client, database_url: str) -> None:
    chat = await client.new_chat()
    fill(database_url, chat, 130)
    newest = (await client.http.get(f"/api/chats/{chat}")).json()
    chosen = (await client.http.post(f"/api/chats/{chat}/messages/{newest['messages'][-1]['id']}/choose")).json()
    assert len(chosen["messages"]) == 100
    assert chosen["older_url"] == newest["older_url"]


async def test_while_an_answer_is_made_a_second_message_is_told_where_to_find_it(client: Client) -> None:
    chat = await client.new_chat()
    first = (await client.post_async(chat, "first")).json()
    before = await client.messages(chat)
    second = await client.post_async(chat, "second")
    assert second.status_code == 409
    problem = second.json()
    assert problem["code"] == "generation_in_progress"
    assert (problem["generation_id"], problem["stream_url"]) == (first["generation"]["id"], first["stream_url"])
    assert await client.messages(chat) == before


async def test_a_refused_message_leaves_no_gap_in_the_positions(client: Client, database_url: str) -> None:
    chat = await client.new_chat()
    await client.post_async(chat, "first")
    for _ in range(3):
        await client.post_async(chat, "refused")
    end_all(database_url, chat)
    await client.post_async(chat, "second")
    assert [message["position"] for message in await client.messages(chat)] == [1, 2, 3, 4]


async def test_another_chat_does_not_have_to_wait(client: Client) -> None:
    for _ in range(2):
        assert (await client.post_async(await client.new_chat(), "hello")).status_code == 202


async def test_of_twenty_messages_at_once_one_is_accepted(client: Client) -> None:
    chat = await client.new_chat()
    answers = await asyncio.gather(*(client.post_async(chat, f"message {number}") for number in range(20)))
    assert Counter(response.status_code for response in answers) == {202: 1, 409: 19}
    (accepted,) = [response for response in answers if response.status_code == 202]
    assert {response.json()["stream_url"] for response in answers} == {accepted.json()["stream_url"]}
    question, reply = await client.messages(chat)
    assert question["content"] == accepted.json()["message"]["content"]
    assert (question["position"], reply["position"]) == (1, 2)


async def test_messages_at_once_in_many_chats_are_each_answered_once(client: Client, database_url: str) -> None:
    chats = [await client.new_chat() for _ in range(5)]
    answers = await asyncio.gather(*(client.post_async(chat, "hello") for chat in chats for _ in range(4)))
    assert Counter(response.status_code for response in answers) == {202: 5, 409: 15}
    with psycopg.connect(database_url) as connection:
        query = "SELECT chat_id, count(*) FROM generations WHERE chat_id = ANY(%s) GROUP BY chat_id"
        assert dict(connection.execute(query, (chats,)).fetchall()) == dict.fromkeys(chats, 1)


async def test_a_title_is_kept_on_one_line_and_turns_no_text_around(client: Client) -> None:
    made = await client.http.post("/api/chats", json={"title": " Tides\n\u202eand\u202c\tmoons\x07 "})
    assert made.json()["title"] == "Tides and moons"
    renamed = await client.http.patch(f"/api/chats/{made.json()['id']}", json={"title": "\u2067Sea\u2069"})
    assert renamed.json()["title"] == "Sea"


async def test_temporary_chats_are_in_a_list_of_their_own(newcomer: Client) -> None:
    made = await newcomer.http.post("/api/chats", json={"temporary": True})
    assert (made.status_code, made.json()["temporary"]) == (201, True)
    plain = await newcomer.new_chat()
    temporary = made.json()["id"]
    for query, chat in (("", plain), ("?temporary=false", plain), ("?temporary=true", temporary)):
        found = (await newcomer.http.get(f"/api/chats{query}")).json()
        assert [(one["id"], one["temporary"]) for one in found] == [(chat, chat == temporary)]
    assert (await newcomer.http.get(f"/api/chats/{temporary}")).json()["temporary"]
    assert not (await newcomer.http.get(f"/api/chats/{plain}")).json()["temporary"]


async def test_the_pages_of_temporary_chats_hold_each_once(newcomer: Client) -> None:
    made = [(await newcomer.http.post("/api/chats", json={"temporary": True})).json()["id"] for _ in range(3)]
    await newcomer.new_chat()
    pages = await walk(newcomer.http, "/api/chats?temporary=true&limit=2")
    assert [chat["id"] for page in pages for chat in page] == made[::-1]


@pytest.mark.parametrize("value", [None, "perhaps", 7, [True]])
async def test_whether_a_chat_is_temporary_is_yes_or_no(client: Client, value: object) -> None:
    refused = await client.http.post("/api/chats", json={"temporary": value})
    assert (refused.status_code, refused.json()["field"]) == (422, "temporary")


async def test_which_chats_to_list_is_yes_or_no(client: Client) -> None:
    refused = await client.http.get("/api/chats?temporary=perhaps")
    assert (refused.status_code, refused.json()["field"]) == (422, "temporary")
