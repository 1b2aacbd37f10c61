"""What a user may have open at a time, and how many may wait: refused clearly, strictly, with nothing half-written."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.runtime import Worker
from shared.settings import Settings
from tests.conftest import settings_for
from tests.support.clients import Client
from tests.support.turns import execute, post


@pytest.fixture
def settings(database_url: str, valkey: EmbeddedValkey, groq_url: str) -> Settings:
    """The usual bound on what a user has open, and a short queue."""
    return settings_for(database_url, valkey.url, groq_url, user_max_live_generations=4, queue_max_depth=6)


async def test_a_user_has_four_answers_open_and_no_more(client: Client, worker: Worker) -> None:
    posted = [await post(client, "[[tokens=1]]") for _ in range(4)]
    chat = await client.new_chat()
    refused = await client.post_async(chat, "One more")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_generations")
    assert int(refused.headers["Retry-After"]) > 0
    assert await client.messages(chat) == []
    await worker.attempts.run(posted[0].generation_id)
    assert (await client.post_async(chat, "One more")).status_code == 202


async def test_of_twenty_messages_at_once_in_as_many_chats_four_are_accepted(client: Client, database_url: str) -> None:
    chats = [await client.new_chat() for _ in range(20)]
    answers = await asyncio.gather(*(client.post_async(chat, "Hello") for chat in chats))
    assert Counter(answer.status_code for answer in answers) == {202: 4, 429: 16}
    assert execute(database_url, "SELECT count(*) FROM messages") == [(8,)]
    assert execute(database_url, "SELECT count(DISTINCT slot), min(slot), max(slot) FROM generations") == [(4, 0, 3)]
    assert execute(database_url, "SELECT count(*) FROM chats WHERE last_position > 0") == [(4,)]


async def test_messages_in_line_count_too(client: Client) -> None:
    posted = await post(client, "First")
    answers = [await client.post_async(posted.chat_id, f"{n}", on_conflict="enqueue") for n in range(5)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]


async def test_one_user_does_not_use_up_anothers_places(client: Client, connect: Callable[[], Client]) -> None:
    for _ in range(4):
        await post(client, "Hello")
    other = connect()
    await other.sign_up()
    assert (await other.post_async(await other.new_chat(), "Hello")).status_code == 202


async def test_interrupting_at_the_bound_takes_the_place_of_what_it_stops(client: Client) -> None:
    posted = [await post(client, "Hello") for _ in range(4)]
    answer = await client.post_async(posted[2].chat_id, "Rather this", on_conflict="interrupt")
    assert answer.status_code == 202


async def test_answers_that_go_on_after_an_approval_take_no_place_and_are_not_said_to(
    client: Client, database_url: str
) -> None:
    for _ in range(4):
        await post(client, "Hello")
    execute(database_url, "UPDATE generations SET slot = NULL")  # as those have it that awaited an approval
    for _ in range(3):
        await post(client, "Hello")
    refused = await client.post_async(await client.new_chat(), "One more")
    assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")


async def test_a_message_is_refused_while_too_many_wait_for_a_worker(
    client: Client, connect: Callable[[], Client], worker: Worker
) -> None:
    waiting = []
    for user in (client, connect()):
        if user is not client:
            await user.sign_up()
        waiting += [(user, await user.post_async(await user.new_chat(), "[[tokens=1]]")) for _ in range(4)]
    assert [answer.status_code for _, answer in waiting] == [202] * 7 + [503]
    refused = waiting[-1][1]
    assert (refused.json()["code"], int(refused.headers["Retry-After"]) > 0) == ("queue_full", True)
    newcomer = connect()
    await newcomer.sign_up()
    chat = await newcomer.new_chat()
    assert (await newcomer.post_async(chat, "Hello", on_conflict="interrupt")).status_code == 503
    assert await newcomer.messages(chat) == []
