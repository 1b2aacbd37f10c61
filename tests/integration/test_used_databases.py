"""A database goes to the next test only when nothing of the last one is left in it."""

from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest

from tests.support.databases import emptied, shape
from tests.support.turns import execute

USER = "INSERT INTO users (email, password_hash) VALUES ('a@b.c', 'x') RETURNING id"


def test_an_emptied_database_is_as_a_new_one(make_database: Callable[[], str], new_shape: str) -> None:
    url = make_database()
    first = execute(url, USER)
    with closing(psycopg.connect(url)) as left_open:
        left_open.execute("LOCK users")
        assert emptied(url, new_shape)
    with psycopg.connect(url) as connection:
        assert shape(connection) == new_shape
    assert execute(url, "SELECT count(*) FROM users") == [(0,)]
    assert execute(url, USER) == first
    execute(url, "DROP TABLE message_terms")
    assert not emptied(url, new_shape)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alembic_version SET version_num = '0001'",
        "ALTER TABLE users ADD COLUMN nickname text",
        "ALTER TABLE users ALTER COLUMN email DROP NOT NULL",
        "ALTER TABLE chats DISABLE TRIGGER ALL",
        "CREATE INDEX another ON users (password_hash)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_chats_not_indexed'::regclass",
        "UPDATE pg_index SET indisunique = true WHERE indexrelid = 'ix_chats_not_indexed'::regclass",
        "CREATE SCHEMA another",
        "REVOKE SELECT ON users FROM CURRENT_USER",
        "REVOKE CONNECT ON DATABASE {name} FROM PUBLIC",
        "ALTER DATABASE {name} SET statement_timeout = '1s'",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
def test_a_change_of_more_than_rows_is_seen(database_url: str, new_shape: str, statement: str) -> None:
    with closing(psycopg.connect(database_url)) as connection:
        assert shape(connection) == new_shape
        connection.execute(statement.format(name=connection.info.dbname).encode())
        assert shape(connection) != new_shape
