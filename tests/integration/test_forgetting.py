"""What is forgotten and replaced, in tables that have rows of several chats: nothing comes back, and nothing else goes."""

import asyncio
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest

from shared.database.engine import Database, open_database
from shared.database_urls import to_sqlalchemy
from shared.ids import ChatId, UserId
from shared.memory import summaries
from shared.memory.changes import add_facts, forget
from shared.memory.chat_memory import read_memory
from shared.memory.facts import CHANGE, MAX_CHANGES, MAX_KEPT, Forgetting, NewFact
from shared.memory.segments import Segment
from shared.memory.summaries import MemoryChanges
from tests.support.clients import Client
from tests.support.summaries import say
from tests.support.turns import execute, wait_for_waiters

AddFact = Callable[..., int]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The database, as the product opens it."""
    opened = open_database(to_sqlalchemy(database_url), pool_size=5)
    yield opened
    await opened.dispose()


@pytest.fixture
def user(client: Client, database_url: str) -> UserId:
    """The user that has the chats."""
    ((found,),) = execute(database_url, "SELECT id FROM users")
    return UserId(int(str(found)))


@pytest.fixture
def add(user: UserId, database_url: str) -> AddFact:
    """Adds a fact to a chat, and returns its id."""

    def add(chat: int, position: int, value: str) -> int:
        statement = (
            "INSERT INTO memory_facts (user_id, chat_id, position, kind, value, text, source)"
            " VALUES (%s, %s, %s, 'identity', %s, %s, 'user') RETURNING id"
        )
        ((fact,),) = execute(database_url, statement, user, chat, position, value, f"it is {value}")
        return int(str(fact))

    return add


async def test_a_fact_of_another_chat_is_forgotten_up_to_the_end_of_that_chat(
    client: Client, user: UserId, add: AddFact, database: Database, database_url: str
) -> None:
    here, there = await client.new_chat(), await client.new_chat()
    say(database_url, here, *["Hello"] * 4)
    say(database_url, there, *["Hello"] * 60)
    fact = add(there, 50, "555-0199")
    async with database.connect() as db:
        claimed = await summaries.claim(db, ChatId(here), summaries.FIRST_BACKOFF, even_if_not_due=True)
        memory = await read_memory(db, ChatId(here))
    assert claimed is not None
    assert memory is not None
    ((before,),) = execute(database_url, "SELECT memory_version FROM chats WHERE id = %s", there)
    async with database.begin() as db:
        segments = [Segment(1, 3, "They said hello.")]
        changes = MemoryChanges(segments, forgettings=[Forgetting(3, (fact,))])
        saved = await summaries.save(db, claimed, changes, 0)
    assert saved is not None
    assert saved.others == (there,)
    rows = execute(database_url, "SELECT forgotten_by, forgotten_position FROM memory_facts WHERE id = %s", fact)
    assert rows == [("chat", 60)]
    # What somebody makes of the other chat's memory now is refused.
    ((after,),) = execute(database_url, "SELECT memory_version FROM chats WHERE id = %s", there)
    assert int(str(after)) == int(str(before)) + 1


async def test_a_fact_is_forgotten_when_its_value_says_what_was_taken_back(
    client: Client, user: UserId, add: AddFact, database: Database, database_url: str
) -> None:
    chat = await client.new_chat()
    says_it = [add(chat, 1, "5 Rose Street, Turku"), add(chat, 2, "555 0199")]
    for position, value in ((1, "15 Rose Street"), (1, "Rose"), (3, "5 Rose Street")):
        add(chat, position, value)
    async with database.begin() as db:
        await forget(db, user, ChatId(chat), [Forgetting(2, values=("5 rose street", "555-0199"))])
    rows = execute(database_url, "SELECT id FROM memory_facts WHERE forgotten_at IS NOT NULL AND text <> '' ORDER BY 1")
    assert rows == [(fact,) for fact in says_it]


async def test_a_chat_whose_fact_is_replaced_by_another_chats_has_changed(
    client: Client, add: AddFact, database: Database, database_url: str
) -> None:
    here, there = await client.new_chat(), await client.new_chat()
    say(database_url, here, *["Hello"] * 4)
    fact = add(there, 1, "Oslo")
    async with database.begin() as db:
        claimed = await summaries.claim(db, ChatId(here), summaries.FIRST_BACKOFF, even_if_not_due=True)
        assert claimed is not None
        new = NewFact(3, None, "identity", "it is Turku", "user", replaces=(fact,))
        saved = await summaries.save(db, claimed, MemoryChanges([Segment(1, 3, "They said hello.")], [new]), 0)
    assert saved is not None
    assert saved.others == (there,)
    versions = execute(database_url, "SELECT memory_version FROM chats WHERE id = ANY(%s) ORDER BY id", [here, there])
    assert versions == [(1,), (1,)]


async def test_what_was_replaced_does_not_hold_again_when_its_successor_has_no_room(
    client: Client, user: UserId, add: AddFact, database: Database, database_url: str
) -> None:
    chat = await client.new_chat()
    first, second, third = (add(chat, at, value) for at, value in ((1, "Turku"), (2, "Oslo"), (3, "Bonn")))
    replaced = "UPDATE memory_facts SET replaced_by = %s, kind = 'other' WHERE id = %s"
    execute(database_url, replaced, second, first)
    execute(database_url, replaced, third, second)
    execute(database_url, "UPDATE memory_facts SET kind = 'other' WHERE id = %s", third)
    new = [NewFact(None, None, "health", f"fact {n}", "user") for n in range(MAX_KEPT)]
    async with database.begin() as db:
        await add_facts(db, user, ChatId(chat), new)
    current = execute(
        database_url,
        "SELECT value FROM memory_facts WHERE kind = 'other' AND replaced_by IS NULL AND chat_id = %s",
        chat,
    )
    assert current == []
    assert execute(database_url, "SELECT count(*) FROM memory_facts") == [(MAX_KEPT,)]


async def test_only_the_newest_sentences_that_change_something_are_kept(
    client: Client, user: UserId, database: Database, database_url: str
) -> None:
    chat = await client.new_chat()
    mine = [NewFact(1, None, "health", "Nuts.", "user"), NewFact(1, None, "other", "Mine.", "edited", attribute=CHANGE)]
    new = [NewFact(n, None, "other", f"change {n}", "user", attribute=CHANGE) for n in range(1, MAX_CHANGES + 3)]
    async with database.begin() as db:
        await add_facts(db, user, ChatId(chat), [*mine, *new])
    kept = execute(database_url, "SELECT text FROM memory_facts WHERE chat_id = %s ORDER BY id", chat)
    assert kept == [("Nuts.",), ("Mine.",), *((f"change {n}",) for n in range(3, MAX_CHANGES + 3))]


async def test_two_who_take_over_at_once_do_so_once(client: Client, database: Database, database_url: str) -> None:
    chat = await client.new_chat()
    say(database_url, chat, "I like trains.", *["Well."] * 5)
    facts = """[{"text": "I like trains.", "position": 1, "pinned": true}, {"text": "Mine.", "position": null, "pinned": true}]"""
    execute(database_url, "UPDATE chats SET summary = 'All.', summary_position = 4, facts = %s::jsonb", facts)
    with psycopg.connect(database_url) as other:
        other.execute("SELECT 1 FROM chats FOR UPDATE")
        async with database.connect() as one, database.connect() as two:
            readers = [asyncio.create_task(read_memory(db, ChatId(chat))) for db in (one, two)]
            await asyncio.to_thread(wait_for_waiters, other, 2)
            other.commit()
            memories = await asyncio.gather(*readers)
    assert [len(memory.facts) for memory in memories if memory] == [2, 2]
    assert execute(database_url, "SELECT count(*) FROM memory_segments") == [(1,)]


async def test_an_answer_ends_the_wait_for_a_model_but_takes_no_chat_from_who_is_at_it(
    client: Client, database: Database, database_url: str
) -> None:
    chat = ChatId(await client.new_chat())
    say(database_url, chat, *["Hello"] * 20)
    async with database.connect() as db:
        claimed = await summaries.claim(db, chat, summaries.FIRST_BACKOFF)
        assert claimed is not None
        execute(database_url, "UPDATE chats SET summary_failures = 1")
        assert not await summaries.mark_due(db, chat, 5, is_well=True)
        execute(database_url, "UPDATE chats SET summary_failures = 0")
        await db.execute(summaries.failed(claimed))
        assert not await summaries.mark_due(db, chat, 5)
        assert await summaries.mark_due(db, chat, 5, is_well=True)
        # A model that answers and yet fails over summaries again and again is left alone.
        execute(database_url, "UPDATE chats SET summary_failures = 4, summary_due_at = now() + interval '1 hour'")
        assert not await summaries.mark_due(db, chat, 5, is_well=True)
    assert execute(database_url, "SELECT summary_failures FROM chats") == [(4,)]
