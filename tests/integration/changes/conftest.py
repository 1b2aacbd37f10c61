"""A data source of one's own for each test: a database whose schema `public` is empty."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from services.launcher.embedded.postgres import EmbeddedPostgres
from tests.support.changes import Connect, Connection


@pytest.fixture(scope="session")
def source_url(postgres: EmbeddedPostgres) -> str:
    """A database for the data sources of all tests, one after the other."""
    name = f"source_{uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return postgres.url_of(name)


@pytest.fixture
def connect(source_url: str) -> Connect:
    """Opens connections to the data source."""

    @asynccontextmanager
    async def open_one() -> AsyncIterator[Connection]:
        async with await psycopg.AsyncConnection.connect(
            source_url, autocommit=True, options="-c lock_timeout=2s -c statement_timeout=20s"
        ) as connection:
            yield connection

    return open_one


@pytest.fixture
async def source(connect: Connect) -> AsyncIterator[Connection]:
    """A connection to the empty data source."""
    async with connect() as connection:
        await connection.execute("DROP SCHEMA IF EXISTS public CASCADE")
        await connection.execute("CREATE SCHEMA public")
        yield connection
