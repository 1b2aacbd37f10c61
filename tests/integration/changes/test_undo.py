"""Undoing what was committed: rows go back, or are told as conflicts, one by one."""

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from shared.data_sources.changes.results import Images
from shared.data_sources.changes.undo import commit_undo
from shared.errors import EffectChanged, NotUndoable
from tests.support.changes import BOUNDS, Connect, Connection, commit, no_note, preview, state, undo, undo_preview


async def change(source: Connection, text: str) -> Images:
    """Preview and commit. Returns what an undo needs."""
    return (await commit(source, text, await preview(source, text))).images


async def conflicts(source: Connection, images: Images) -> dict[object, str | None]:
    """The conflicts of an undo's preview, by key."""
    shown = await undo_preview(source, images)
    return {(row.before or row.after or {})["id"]: row.conflict for row in shown.rows}


@pytest.fixture
async def table(source: Connection) -> Connection:
    """Four rows."""
    await source.execute("CREATE TABLE t (id integer PRIMARY KEY, n integer UNIQUE, label text)")
    await source.execute("INSERT INTO t SELECT i, i * 10, 'row ' || i FROM generate_series(1, 4) AS i")
    return source


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE t SET n = n + 1, label = NULL WHERE id > 1",
        "UPDATE t SET id = id + 10",
        "UPDATE t SET id = 5 - id WHERE id > 4",
        "DELETE FROM t WHERE id < 4",
        "INSERT INTO t VALUES (7, 70, 'new'), (8, NULL, NULL)",
    ],
)
async def test_an_undo_brings_all_rows_back_and_can_be_undone(table: Connection, text: str) -> None:
    start = await state(table)
    images = await change(table, text)
    changed = await state(table)
    undone = await undo(table, images)
    assert await state(table) == start
    await undo(table, undone.images)
    assert await state(table) == changed


async def test_rows_that_were_changed_since_stay_as_they_are_and_the_others_go_back(table: Connection) -> None:
    images = await change(table, "UPDATE t SET label = 'x'")
    await table.execute("UPDATE t SET label = 'theirs' WHERE id = 1")
    await table.execute("UPDATE t SET label = label WHERE id = 2")
    await table.execute("DELETE FROM t WHERE id = 3")
    assert list((await undo_preview(table, images)).to_json()["rows"][0].items())[3] == ("conflict", "changed")
    shown = await undo_preview(table, images)
    assert [row.conflict for row in shown.rows] == ["changed", "changed", "gone", None]
    assert shown.counts == {"inserted": 0, "updated": 1, "deleted": 0}
    await commit_undo(table, images, shown, BOUNDS, no_note)
    assert (await state(table))["t"] == {("1", "10", "theirs"): 1, ("2", "20", "x"): 1, ("4", "40", "row 4"): 1}


async def test_a_row_that_is_gone_is_told_as_the_change_had_left_it(table: Connection) -> None:
    inserted = await change(table, "INSERT INTO t VALUES (7, 70, 'new'), (8, 80, 'new')")
    await table.execute("DELETE FROM t WHERE id = 7")
    shown = await undo_preview(table, inserted)
    row = {"id": 7, "n": 70, "label": "new"}
    assert [(each.before, each.after, each.conflict) for each in shown.rows] == [
        (row, None, "gone"),
        (row | {"id": 8, "n": 80}, None, None),
    ]
    assert shown.counts == {"inserted": 0, "updated": 0, "deleted": 1}
    await commit_undo(table, inserted, shown, BOUNDS, no_note)
    assert (await state(table))["t"].total() == 4


async def test_an_undo_whose_gone_row_an_earlier_release_did_not_tell_is_committed(table: Connection) -> None:
    images = await change(table, "UPDATE t SET label = 'x' WHERE id < 3")
    await table.execute("DELETE FROM t WHERE id = 1")
    shown = await undo_preview(table, images)
    assert shown.rows[0].before == {"id": 1, "n": 10, "label": "x"}
    rows = tuple(replace(row, before=None) if row.conflict == "gone" else row for row in shown.rows)
    await commit_undo(table, images, replace(shown, rows=rows), BOUNDS, no_note)
    assert (await state(table))["t"]["2", "20", "row 2"] == 1


async def test_a_deleted_row_whose_key_is_taken_again_is_a_conflict(table: Connection) -> None:
    images = await change(table, "DELETE FROM t WHERE id < 4")
    await table.execute("INSERT INTO t VALUES (1, 99, 'other'), (50, 20, 'other')")
    assert await conflicts(table, images) == {1: "key_taken", 2: "key_taken", 3: None}


async def test_a_row_whose_parent_is_gone_and_a_row_that_others_refer_to_are_conflicts(source: Connection) -> None:
    await source.execute("CREATE TABLE parent (id integer PRIMARY KEY)")
    await source.execute("CREATE TABLE t (id integer PRIMARY KEY, parent integer REFERENCES parent)")
    await source.execute("CREATE TABLE child (id integer PRIMARY KEY, t integer REFERENCES t)")
    await source.execute("CREATE TABLE leaf (id integer PRIMARY KEY, t integer REFERENCES t ON DELETE CASCADE)")
    await source.execute("INSERT INTO parent VALUES (1), (2)")
    await source.execute("INSERT INTO t VALUES (1, 1), (2, 2)")
    deleted = await change(source, "DELETE FROM t")
    await source.execute("DELETE FROM parent WHERE id = 2")
    assert await conflicts(source, deleted) == {1: None, 2: "parent_missing"}
    inserted = await change(source, "INSERT INTO t VALUES (5, 1), (6, 1), (7, 1)")
    await source.execute("INSERT INTO child VALUES (1, 5)")
    await source.execute("INSERT INTO leaf VALUES (1, 6)")
    assert await conflicts(source, inserted) == {5: "referenced", 6: "touches_others", 7: None}
    await undo(source, inserted)
    assert (await state(source))["leaf"] == {("1", "6"): 1}


async def test_a_tree_goes_back_with_parents_before_children(source: Connection) -> None:
    await source.execute("CREATE TABLE t (id integer PRIMARY KEY, boss integer REFERENCES t)")
    images = await change(source, "INSERT INTO t VALUES (1, 2), (2, 1), (3, 1), (4, 3)")
    start = await state(source)
    undone = await undo(source, images)
    assert (await state(source))["t"].total() == 0
    await undo(source, undone.images)
    assert await state(source) == start


async def test_a_row_that_a_trigger_changes_again_is_a_conflict(table: Connection) -> None:
    images = await change(table, "UPDATE t SET n = n + 1 WHERE id < 3")
    await table.execute(
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN IF NEW.id = 1 THEN NEW.label := 'loud'; END IF; RETURN NEW; END $$"
    )
    await table.execute("CREATE TRIGGER shout BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION shout()")
    assert await conflicts(table, images) == {1: "not_restored", 2: None}
    await undo(table, images)
    assert (await state(table))["t"]["1", "11", "row 1"] == 1


async def test_values_of_every_type_come_back_as_they_were(source: Connection) -> None:
    await source.execute("CREATE TYPE pair AS (a integer, b text)")
    await source.execute("CREATE TYPE mood AS ENUM ('sad', 'so so')")
    await source.execute("CREATE DOMAIN percent AS numeric(5,2) CHECK (VALUE <= 100)")
    await source.execute(
        "CREATE TABLE t (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a numeric, b numeric(12,4), c json, d jsonb,"
        " e bytea, f timestamptz, g timestamp, h pair[], i percent, j mood, k text[][], l interval, m int4range, n inet,"
        " o char(5), p bit varying(9), q text, r money, s point, t tsvector, u float8, v real, w time with time zone,"
        " x varchar(3), y boolean, z uuid, twice numeric GENERATED ALWAYS AS (a * 2) STORED)"
    )
    await source.execute(
        "INSERT INTO t (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z) VALUES"
        " ('NaN', 1.5, '{\"z\": 1.0,  \"a\":2}', '{\"z\": 1.00}', '\\x005c27', '-infinity', '0044-03-15 BC',"
        " ARRAY[(1, 'a,\"b\\')::pair, NULL], 99.90, 'so so', '{{a,NULL},{\"\",\"NULL\"}}', '-1 mon +2 days -03:00:00.000001',"
        " '[1,5)', '10.0.0.1', 'ab', '0101', '<a>1</a>', -12.34, '(1.1,2e-300)', 'a:1 b:2A', 1e-300, 0.1, '04:05:06+05:30',"
        " ' ', true, '00000000-0000-0000-0000-000000000001'), (0.10, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,"
        " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'NaN', NULL, NULL, '', NULL, NULL)"
    )
    start = await state(source)
    await source.execute("SET datestyle = 'SQL, DMY'")
    deleted = await change(source, "DELETE FROM t")
    await source.execute("SET timezone = 'Asia/Kolkata'")
    await undo(source, deleted)
    async with source.transaction():
        await source.execute("RESET timezone")
        await source.execute("RESET datestyle")
    assert await state(source) == start


async def test_a_change_that_touched_other_tables_is_not_undoable(source: Connection) -> None:
    await source.execute("CREATE TABLE t (id integer PRIMARY KEY)")
    await source.execute("CREATE TABLE child (t integer REFERENCES t ON DELETE CASCADE)")
    await source.execute("INSERT INTO t VALUES (1)")
    await source.execute("INSERT INTO child VALUES (1)")
    images = await change(source, "DELETE FROM t")
    with pytest.raises(NotUndoable, match=r"public\.child"):
        await undo_preview(source, images)


async def test_a_table_with_other_columns_since_is_not_undoable(table: Connection) -> None:
    images = await change(table, "DELETE FROM t")
    await table.execute("ALTER TABLE t ADD more integer")
    with pytest.raises(NotUndoable):
        await undo_preview(table, images)


async def test_an_undo_is_committed_only_as_it_was_shown(table: Connection, connect: Connect) -> None:
    images = await change(table, "UPDATE t SET label = 'x'")
    shown = await undo_preview(table, images)
    async with connect() as other:
        await other.execute("UPDATE t SET label = 'theirs' WHERE id = 1")
    before = await state(table)
    with pytest.raises(EffectChanged):
        await commit_undo(table, images, shown, BOUNDS, no_note)
    assert await state(table) == before


class Counting(psycopg.AsyncConnection[Any]):
    """A connection that counts how often rows were tried to go back."""

    tries = 0

    async def execute(self, query: Any, *arguments: Any, **options: Any) -> psycopg.AsyncCursor[Any]:  # noqa: ANN401 - psycopg's
        """Run a statement."""
        self.tries += query == "SAVEPOINT restored"
        return await super().execute(query, *arguments, **options)


async def test_one_row_of_many_that_can_not_go_back_is_found_in_few_tries(table: Connection, source_url: str) -> None:
    await table.execute("INSERT INTO t SELECT i, i * 10 FROM generate_series(5, 300) AS i")
    images = await change(table, "DELETE FROM t")
    await table.execute("INSERT INTO t VALUES (1000, 770, 'theirs')")
    async with await Counting.connect(source_url, autocommit=True) as connection:
        shown = await undo_preview(connection, images)
        assert [(row.after or {})["id"] for row in shown.rows if row.conflict] == [77]
        assert connection.tries < 30
        connection.tries = 0
        await commit_undo(connection, images, shown, BOUNDS, no_note)
        assert connection.tries == 1
    assert (await state(table))["t"].total() == 300
