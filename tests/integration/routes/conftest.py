"""One database and one API for each file of tests about routes: they ask no model, and use accounts of their own."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.support.clients import NO_TLS, Client, logged_in
from tests.support.seen_memory import Memory
from tests.support.turns import execute

NOBODY = "http://127.0.0.1:1"
"""Where no model is: answers stay queued."""


@pytest.fixture(scope="module")
def database_url(make_database: Callable[[], str]) -> str:
    """The file's database."""
    return make_database()


@pytest.fixture(scope="module")
async def api(database_url: str, valkey: EmbeddedValkey) -> AsyncIterator[str]:
    """The file's API."""
    async with serve(settings_for(database_url, valkey.url, NOBODY)) as url:
        yield url


@pytest.fixture(scope="module")
async def http(api: str) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who is not logged in."""
    async with httpx.AsyncClient(base_url=api, verify=NO_TLS, timeout=20) as opened:
        yield opened


@pytest.fixture(scope="module")
async def user(api: str) -> AsyncIterator[Client]:
    """A user of the file's, with any number of chats already."""
    async with logged_in(api) as client:
        yield client


@pytest.fixture
async def memory(user: Client, database_url: str) -> Memory:
    """A memory of the user's without facts, of version 4."""
    chat = await user.new_chat()
    execute(
        database_url,
        "UPDATE chats SET last_position = 10, summary_position = 6, memory_version = 4 WHERE id = %s",
        chat,
    )
    execute(
        database_url,
        "INSERT INTO messages (chat_id, role, content, position, status)"
        " SELECT %s, CASE n %% 2 WHEN 1 THEN 'user' ELSE 'assistant' END, 'Said.', n, 'completed'"
        " FROM generate_series(1, 10) AS n",
        chat,
    )
    execute(
        database_url,
        "INSERT INTO memory_segments (chat_id, first_position, last_position, text, kind)"
        " VALUES (%s, 1, 4, 'So far.', 'summary'), (%s, 5, 6, 'Then.', 'extract')",
        *(chat, chat),
    )
    return Memory(user, database_url, chat)
