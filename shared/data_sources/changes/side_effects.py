"""What of a change would stay after a ROLLBACK: refused, unless it is provably nothing.

A rollback undoes what happens to tables. It does not undo what a function does elsewhere: in another database, in files, on the
network, with locks of the session. Such functions can only be reached by triggers, defaults, constraints, indexes and policies of
the tables that a change reaches. This module finds these tables and functions, and refuses what is not known to be harmless:

* PostgreSQL's own functions are harmless when they are not volatile, or are in `HARMLESS`. Sequences may go on,
  but not back (`setval`): the rows of others would get numbers that are taken.
* Functions of extensions are harmless when they are not volatile, or are in `HARMLESS_OF_EXTENSIONS`.
* Functions in PL/pgSQL are harmless when their text is (`trigger_source`) and so is everything that the text may reach.
* All others are refused, unless the data source's settings name them as trusted, with all that they cause.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from shared.data_sources.changes.reach import DOUBTS, FUNCTIONS, NAMED_TABLES, OWN_VOLATILE, REACH, SOURCES, Reached
from shared.data_sources.changes.results import Kind
from shared.data_sources.changes.target import Target
from shared.data_sources.changes.trigger_source import NO_CALLS, Words, statement_words, words_of
from shared.errors import StatementRefused

HARMLESS: Final = frozenset(
    [
        "nextval",
        "currval",
        "lastval",
        "random",
        "random_normal",
        "gen_random_uuid",
        "uuidv4",
        "uuidv7",
        "clock_timestamp",
        "timeofday",
        "pg_current_xact_id",
        "txid_current",
        "tsvector_update_trigger",
        "tsvector_update_trigger_column",
        "suppress_redundant_updates_trigger",
    ]
)
HARMLESS_OF_EXTENSIONS: Final = frozenset(
    [
        "uuid_generate_v1",
        "uuid_generate_v1mc",
        "uuid_generate_v4",
        "gen_random_uuid",
        "gen_random_bytes",
        "gen_salt",
        "moddatetime",
        "autoinc",
        "insert_username",
    ]
)
EVENTS: Final[Mapping[str, int]] = {"insert": 4, "delete": 8, "update": 16}
ALL_EVENTS: Final = 4 | 8 | 16


@dataclass(slots=True)
class _Search:
    """What is still to be looked at, and what has been."""

    trusted: AbstractSet[str]
    tables: dict[int, int] = field(default_factory=dict)
    checked: set[int] = field(default_factory=set)
    reached: Reached = field(default_factory=Reached)


async def check_side_effects(
    connection: psycopg.AsyncConnection[Any], target: Target, kinds: AbstractSet[Kind], trusted: AbstractSet[str]
) -> Reached:
    """Refuse a change of a table whose triggers, defaults and so on could do what a rollback leaves.

    `trusted` are functions, as `schema.name`, that may do anything. Returns what the change may reach.

    Raises:
        StatementRefused: with the reason "side_effects" and the name of what is in the way.

    """
    events = sum(EVENTS[kind] for kind in kinds)
    search = _Search(trusted)
    waiting = {target.oid: events}
    while waiting:
        tables = {oid: search.tables.get(oid, 0) | bits for oid, bits in waiting.items()}
        search.tables.update(tables)
        reached = await _rows(connection, REACH, {"tables": list(tables), "events": list(tables.values())})
        found = await _look(connection, search, reached)
        waiting = {oid: bits for oid, bits in found.items() if bits & ~search.tables.get(oid, 0)}
    search.reached.functions |= search.checked
    return search.reached


async def _look(
    connection: psycopg.AsyncConnection[Any], search: _Search, reached: list[dict[str, Any]]
) -> dict[int, int]:
    """Judge what tables reach. Returns the tables behind these, with the events that may happen to them."""
    tables: dict[int, int] = {}
    functions: set[int] = set()
    texts: list[str] = []
    for row in reached:
        if row["what"] == "obstacle":
            raise _refusal(row["name"])
        if row["name"] is not None:
            search.reached.texts.append(f"{row['what']} {row['name']}")
        if row["what"] == "table":
            tables[row["oid"]] = tables.get(row["oid"], 0) | row["events"]
        elif row["what"] == "function":
            functions.add(row["oid"])
        elif row["what"] == "text":
            texts.append(row["name"])
    words = [_known(words_of(text), "an expression of a table") for text in texts]
    # Expressions name columns and tables too; which functions that are not PostgreSQL's own they call, pg_depend tells.
    await _check_own(connection, frozenset().union(*(each.called for each in words)), strict=False)
    search.reached.functions |= functions
    if functions:
        await _check_functions(connection, search, functions, tables)
    return tables


async def _check_functions(
    connection: psycopg.AsyncConnection[Any], search: _Search, functions: set[int], tables: dict[int, int]
) -> None:
    known = {row["oid"]: row for row in await _rows(connection, FUNCTIONS, {"functions": list(functions)})}
    names = {row["name"] for row in known.values()}
    waiting = functions & known.keys()
    while waiting:
        oids = sorted(waiting - search.checked, reverse=True)
        search.checked |= waiting
        doubtful = [known[oid] for oid in oids if not _is_harmless(known[oid], search.trusted)]
        for function in doubtful:
            if function["language"] != "plpgsql":
                raise _refusal(f"the function {function['full_name']}")
        named = await _check_texts(connection, doubtful, names, tables)
        waiting = {oid for oid, row in known.items() if row["name"] in named and row["is_extra"]} - search.checked


async def _check_texts(
    connection: psycopg.AsyncConnection[Any],
    functions: list[dict[str, Any]],
    names: AbstractSet[str],
    tables: dict[int, int],
) -> set[str]:
    """Judge the texts of functions in PL/pgSQL, and add the tables that they name. Returns all words that may be functions."""
    if not functions:
        return set()
    await _check_doubts(connection)
    sources = await _rows(connection, SOURCES, {"functions": [function["oid"] for function in functions]})
    source_of = {row["oid"]: row["source"] for row in sources}
    all_named: set[str] = set()
    for function in functions:
        name = f"the function {function['full_name']}"
        words = _known(statement_words(source_of[function["oid"]]) if function["oid"] in source_of else None, name)
        await _check_own(connection, words.called - names, strict=True)
        if any(word.startswith("pg_") for word in words.named - words.called):
            raise _refusal(name)
        all_named |= words.named
        for row in await _rows(connection, NAMED_TABLES, {"names": list(words.named)}):
            if row["kind"] not in {"r", "p", "S", "i", "I", "t", "c"}:
                raise _refusal(f"{name}, which names the view or foreign table {row['name']}")
            tables[row["oid"]] = ALL_EVENTS
    return all_named


def _is_harmless(function: Mapping[str, Any], trusted: AbstractSet[str]) -> bool:
    if function["full_name"] in trusted:
        return True
    if not function["is_extra"]:
        return function["volatility"] != "v" or function["name"] in HARMLESS
    if function["language"] in {"c", "internal"} and function["is_of_extension"]:
        return function["volatility"] != "v" or function["name"] in HARMLESS_OF_EXTENSIONS
    return False


async def _check_own(connection: psycopg.AsyncConnection[Any], called: AbstractSet[str], *, strict: bool) -> None:
    """Judge calls of PostgreSQL's own functions. `strict`: names that PostgreSQL does not have are refused."""
    if not called:
        return
    rows = await _rows(connection, OWN_VOLATILE, {"names": list(called)})
    harmful = sorted(row["name"] for row in rows if row["is_volatile"] and row["name"] not in HARMLESS)
    unknown = sorted(called - {row["name"] for row in rows} - NO_CALLS) if strict else []
    for name in (*harmful, *unknown):
        raise _refusal(f"a call of {name}()")


async def _check_doubts(connection: psycopg.AsyncConnection[Any]) -> None:
    """Operators, casts and domains may call functions that no word of a text names."""
    for row in await _rows(connection, DOUBTS, {}):
        raise _refusal(f"the {row['what']} {row['name']}, which calls a function")


async def _rows(
    connection: psycopg.AsyncConnection[Any], query: str, arguments: Mapping[str, object]
) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query.encode(), arguments)
        return await cursor.fetchall()


def _known(words: Words | None, what: str) -> Words:
    if words is None:
        raise _refusal(what)
    return words


def _refusal(what: str) -> StatementRefused:
    return StatementRefused(
        "side_effects",
        f"may reach {what}, of which a preview can't tell whether it only changes rows;"
        " the data source's settings can name functions that are trusted",
    )
