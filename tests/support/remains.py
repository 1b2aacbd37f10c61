"""What the database and Redis have of somebody: rows, names and values, and texts in them."""

from collections.abc import Callable
from typing import Any, Final

from psycopg import sql
from redis import Redis

from tests.support.turns import execute

GOES: Final = frozenset(
    {
        "account_links",
        "account_mails",
        "api_keys",
        "audit_log",
        "chats",
        "conversation_items",
        "data_sources",
        "generations",
        "memory_facts",
        "memory_segments",
        "message_terms",
        "messages",
        "model_calls",
        "oidc_identities",
        "operations",
        "recovery_codes",
        "refresh_tokens",
        "second_factors",
        "sessions",
        "users",
    }
)
"""Tables whose rows belong to a user each, and go with the user."""
KEPT: Final = {
    "account_invites": "permissions of people who are not here yet: one that was used has no row",
    "admin_acts": "what admins have done, who answer for it: users are named by their ids alone",
    "alembic_version": "the version of the tables: nobody's",
}
"""Tables whose rows stay, and why."""

Rows = dict[str, frozenset[str]]


def tables(database_url: str) -> set[str]:
    """All tables that the database's catalogue has, in any schema of ours."""
    found = execute(
        database_url,
        "SELECT CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^(pg_|information_schema)'",
    )
    return {str(name) for (name,) in found}


def rows(database_url: str) -> Rows:
    """All rows of all tables, as text. Bytes are in hexadecimal digits."""
    found = {}
    for name in tables(database_url):
        statement = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(*name.split("."))).as_string()
        found[name] = frozenset(str(row) for (row,) in execute(database_url, statement))
    return found


def holding(found: Rows, texts: list[str]) -> dict[str, list[str]]:
    """Rows that have one of the texts, as text or as bytes."""
    sought = [spelling for text in texts for spelling in (text, text.encode().hex())]
    having = {name: [row for row in some if any(text in row for text in sought)] for name, some in found.items()}
    return {name: some for name, some in having.items() if some}


def redis_values(server: Redis, prefix: str = "") -> dict[str, Any]:
    """All that Redis has under names that begin so, by name."""
    found = {}
    for key in server.scan_iter(match=f"{prefix}*", count=1000):
        found[key.decode()] = _value(server, key)
    return found


def _value(server: Redis, key: bytes) -> Any:  # noqa: ANN401
    readers: dict[bytes, Callable[[bytes], Any]] = {
        b"string": server.get,
        b"list": lambda name: server.lrange(name, 0, -1),
        b"set": server.smembers,
        b"zset": lambda name: server.zrange(name, 0, -1, withscores=True),
        b"hash": server.hgetall,
        b"stream": server.xrange,
        b"none": lambda _: None,  # it has expired meanwhile
    }
    kind: Any = server.type(key)
    return readers[kind](key)
