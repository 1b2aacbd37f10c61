"""What a preview shows, and what is refused."""

from dataclasses import replace
from uuid import uuid4

import pytest

from shared.data_sources.changes.effects import PreviewBounds, Touched
from shared.data_sources.changes.preview import make_preview
from shared.data_sources.changes.reach import Reached
from shared.data_sources.changes.results import Preview
from shared.data_sources.changes.touched_hash import hash_definitions
from shared.errors import ChangeTooLarge, EffectChanged, StatementFailed, StatementRefused
from tests.support.changes import Connect, Connection, commit, preview, state, write


async def make(source: Connection, *statements: str) -> None:
    for statement in statements:
        await source.execute(statement.encode())


@pytest.fixture
async def orders(source: Connection) -> Connection:
    """Six orders, with lines that go with them."""
    await make(
        source,
        "CREATE TABLE orders (id integer PRIMARY KEY, total numeric(10,2), note text, changed_at timestamptz)",
        "INSERT INTO orders SELECT i, i * 1.5, 'order ' || i FROM generate_series(1, 6) AS i",
        "CREATE TABLE lines (id integer PRIMARY KEY, order_id integer REFERENCES orders ON DELETE CASCADE)",
        "INSERT INTO lines SELECT i, i FROM generate_series(1, 3) AS i",
    )
    return source


async def test_an_update_shows_each_row_before_and_after_and_changes_nothing(orders: Connection) -> None:
    before = await state(orders)
    shown = await preview(orders, "UPDATE orders SET total = total + 1 WHERE id < 3")
    assert [(row.before and row.before["total"], row.after and row.after["total"]) for row in shown.rows] == [
        ("1.50", "2.50"),
        ("3.00", "4.00"),
    ]
    assert shown.counts == {"inserted": 0, "updated": 2, "deleted": 0}
    assert shown.key == ("id",)
    assert shown.to_json()["is_undoable"]
    assert await state(orders) == before


async def test_a_statement_that_changes_nothing_is_shown_without_rows(orders: Connection) -> None:
    shown = await preview(orders, "DELETE FROM orders WHERE id > 100")
    assert shown.rows == ()
    assert shown.touched == ()


async def test_rows_that_cascades_delete_are_counted_and_make_the_change_final(orders: Connection) -> None:
    shown = await preview(orders, "DELETE FROM orders WHERE id IN (2, 6)")
    assert shown.touched == (Touched("public.lines", 0, 0, 1),)
    assert "public.lines" in (shown.undo_refusal or "")


async def test_a_changed_key_is_shown_as_the_same_row(orders: Connection) -> None:
    shown = await preview(orders, "UPDATE orders SET id = id + 100 WHERE id > 4")
    keys = [(row.before and row.before["id"], row.after and row.after["id"]) for row in shown.rows]
    assert sorted(keys, key=str) == [(5, 105), (6, 106)]


async def test_columns_whose_values_differ_each_time_are_set_at_commit(orders: Connection) -> None:
    shown = await preview(orders, "UPDATE orders SET changed_at = now() - interval '1 day', note = 'x' WHERE id = 1")
    assert shown.set_at_commit == ("changed_at",)
    assert shown.rows[0].after == {"id": 1, "total": "1.50", "note": "x", "changed_at": None}


async def test_the_digest_is_of_what_is_shown(orders: Connection) -> None:
    text = "UPDATE orders SET changed_at = clock_timestamp() WHERE id = 1"
    first = await preview(orders, text)
    await orders.execute("UPDATE orders SET note = note WHERE id = 1")
    same = await preview(orders, text)
    await orders.execute("UPDATE orders SET note = 'other' WHERE id = 1")
    other = await preview(orders, text)
    assert first.digest == same.digest != other.digest
    assert first.rows[0].version != same.rows[0].version


async def test_too_many_rows_are_refused_with_their_number(orders: Connection) -> None:
    with pytest.raises(ChangeTooLarge) as refusal:
        await preview(orders, "UPDATE orders SET note = ''", PreviewBounds(rows=5))
    assert refusal.value.rows == 6


async def test_too_many_bytes_are_refused(orders: Connection) -> None:
    with pytest.raises(StatementRefused) as refusal:
        await preview(orders, "UPDATE orders SET note = repeat('x', 5000)", PreviewBounds(value_bytes=10_000))
    assert refusal.value.reason == "too_large"


async def test_long_names_of_columns_count_as_bytes(orders: Connection) -> None:
    await orders.execute(f"CREATE TABLE named (id int PRIMARY KEY, {'n' * 60} int)")
    await orders.execute("INSERT INTO named SELECT generate_series(1, 5)")
    with pytest.raises(StatementRefused) as refusal:
        await preview(
            orders, "UPDATE named SET name = 1".replace("name ", f"{'n' * 60} "), PreviewBounds(value_bytes=200)
        )
    assert refusal.value.reason == "too_large"


async def test_a_row_that_somebody_holds_is_told_in_time(orders: Connection, connect: Connect) -> None:
    async with connect() as other, other.transaction():
        await other.execute("UPDATE orders SET note = 'held' WHERE id = 1")
        await orders.execute("SET lock_timeout = '50ms'")
        with pytest.raises(StatementFailed, match="holds a lock"):
            await preview(orders, "UPDATE orders SET note = 'mine' WHERE id = 1")


async def test_what_the_server_refuses_is_told_in_its_words(orders: Connection) -> None:
    with pytest.raises(StatementFailed, match='column "nothing" of relation "orders" does not exist'):
        await preview(orders, "UPDATE orders SET nothing = 1")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("WITH gone AS (DELETE FROM lines RETURNING 1) DELETE FROM orders", "several_tables"),
        ("DELETE FROM lines", "several_tables"),
        ("UPDATE orders SET id = id", "several_tables"),
        ("SELECT 1", "no_write"),
        ("INSERT INTO orders VALUES (1) ON CONFLICT (id) DO UPDATE SET note = 'x'", "several_tables"),
    ],
)
async def test_the_servers_plan_must_change_the_table_that_the_syntax_wall_saw(
    orders: Connection, text: str, reason: str
) -> None:
    with pytest.raises(StatementRefused) as refusal:
        await make_preview(orders, replace(write("DELETE FROM orders"), sql=text), PreviewBounds())
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("DELETE FROM orders; DROP TABLE lines", "multiple commands"),
        ("DELETE FROM orders; COMMIT", "multiple commands"),
        ("DELETE FROM orders) SELECT 1 --", "syntax error"),
        ("DELETE FROM orders RETURNING id", "syntax error"),
    ],
)
async def test_a_text_that_is_more_than_a_write_does_not_run(orders: Connection, text: str, message: str) -> None:
    before = await state(orders)
    with pytest.raises(StatementFailed, match=message):
        await preview(orders, text)
    assert await state(orders) == before


async def test_an_insert_that_would_take_over_rows_is_refused(orders: Connection) -> None:
    with pytest.raises(StatementRefused) as refusal:
        await preview(orders, "INSERT INTO orders VALUES (1) ON CONFLICT (id) DO UPDATE SET note = 'x'")
    assert refusal.value.reason == "on_conflict"


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (["CREATE TABLE t (id integer)"], "no_primary_key"),
        (["CREATE TABLE base (id integer)", "CREATE VIEW t AS SELECT * FROM base"], "no_table"),
        (["CREATE TABLE t (id integer PRIMARY KEY)", "CREATE TABLE more () INHERITS (t)"], "inheritance"),
        (
            ["CREATE TABLE t (id integer PRIMARY KEY)", "CREATE RULE r AS ON UPDATE TO t DO ALSO NOTIFY x"],
            "rules",
        ),
        ([], "unknown_table"),
    ],
)
async def test_what_can_not_be_changed_soundly_is_refused(
    source: Connection, statements: list[str], reason: str
) -> None:
    await make(source, *statements)
    with pytest.raises(StatementRefused) as refusal:
        await preview(source, "DELETE FROM t")
    assert refusal.value.reason == reason


async def test_a_write_of_other_rows_each_time_is_refused(source: Connection) -> None:
    await make(source, "CREATE TABLE t (id integer PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 400)")
    with pytest.raises(StatementRefused) as refusal:
        await preview(source, "DELETE FROM t WHERE random() < 0.5")
    assert refusal.value.reason == "not_repeatable"


async def test_the_role_needs_no_more_rights_than_the_write_and_row_policies_hold(
    source: Connection, connect: Connect
) -> None:
    await make(
        source,
        "CREATE TABLE t (id integer PRIMARY KEY, owner text, n integer)",
        "INSERT INTO t VALUES (1, 'me', 1), (2, 'you', 2)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY mine ON t USING (owner = 'me')",
        "DROP ROLE IF EXISTS changes_writer",
        "CREATE ROLE changes_writer",
        "GRANT USAGE ON SCHEMA public TO changes_writer",
        "GRANT SELECT, DELETE ON t TO changes_writer",
    )
    async with connect() as writer:
        await writer.execute("SET ROLE changes_writer")
        shown = await preview(writer, "DELETE FROM t")
    assert [row.before and row.before["id"] for row in shown.rows] == [1]


async def test_values_are_told_exactly(source: Connection) -> None:
    await make(
        source,
        "CREATE TYPE pair AS (a integer, b text)",
        "CREATE DOMAIN percent AS integer CHECK (VALUE <= 100)",
        "CREATE TABLE t (id bigint PRIMARY KEY, a numeric, b float8, c real, d json, e bytea, f timestamptz, g pair,"
        " h percent, i boolean, j bigint, k float8, l char(4))",
    )
    await source.execute("SET timezone = 'Asia/Kolkata'")
    await source.execute("SET datestyle = 'SQL, DMY'")
    shown = await preview(
        source,
        "INSERT INTO t VALUES (9007199254740993, 1.10, 0.1, 0.1, '{\"b\":1, \"a\": 2}', '\\x00ff', 'infinity',"
        " (1, 'x y'), 5, true, 12, '-0', 'ab')",
    )
    assert shown.rows[0].after == {
        "id": "9007199254740993",
        "a": "1.10",
        "b": 0.1,
        "c": 0.1,
        "d": '{"b":1, "a": 2}',
        "e": "\\x00ff",
        "f": "infinity",
        "g": '(1,"x y")',
        "h": "5",
        "i": True,
        "j": 12,
        "k": "-0",
        "l": "ab  ",
    }


async def test_what_deferred_triggers_do_at_the_commit_is_counted(orders: Connection) -> None:
    await make(
        orders,
        "CREATE TABLE audit (id serial PRIMARY KEY, what text)",
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO audit (what) VALUES (NEW.note); RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON orders DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION late()",
    )
    shown = await preview(orders, "UPDATE orders SET note = 'x' WHERE id < 4")
    assert shown.touched == (Touched("public.audit", 3, 0, 0),)


async def test_a_row_that_moves_to_another_partition_is_one_updated_row(source: Connection) -> None:
    await make(
        source,
        "CREATE TABLE t (id integer, part text, PRIMARY KEY (part, id)) PARTITION BY LIST (part)",
        "CREATE TABLE t_a PARTITION OF t FOR VALUES IN ('a')",
        "CREATE TABLE t_b PARTITION OF t FOR VALUES IN ('b')",
        "INSERT INTO t VALUES (1, 'a'), (2, 'a')",
    )
    shown = await preview(source, "UPDATE t SET part = 'b' WHERE id = 1")
    assert [(row.before, row.after) for row in shown.rows] == [({"id": 1, "part": "a"}, {"id": 1, "part": "b"})]
    assert shown.touched == ()


async def test_cascades_through_partitions_and_keys_of_two_columns_are_compared(
    source: Connection, connect: Connect
) -> None:
    await make(
        source,
        "CREATE TABLE t (a integer, b text, PRIMARY KEY (b, a)) PARTITION BY LIST (b)",
        "CREATE TABLE t_x PARTITION OF t FOR VALUES IN ('x')",
        "CREATE TABLE t_y PARTITION OF t FOR VALUES IN ('y')",
        "CREATE TABLE child (b varchar(9), a bigint, c integer, n integer, PRIMARY KEY (c, n),"
        " FOREIGN KEY (b, a) REFERENCES t ON DELETE CASCADE) PARTITION BY LIST (c)",
        "CREATE TABLE child_1 PARTITION OF child FOR VALUES IN (1)",
        "CREATE TABLE child_2 PARTITION OF child FOR VALUES IN (2)",
        "INSERT INTO t VALUES (1, 'x'), (1, 'y')",
        "INSERT INTO child VALUES ('x', 1, 1, 1), ('x', 1, 2, 2), ('y', 1, 2, 3), (NULL, 1, 1, 4)",
    )
    for text in ("DELETE FROM t WHERE b = 'x'", "DELETE FROM t_x WHERE b = 'x'"):
        shown = await preview(source, text)
        assert shown.touched == (Touched("public.child", 0, 0, 2),)
        async with connect() as other:
            await other.execute("UPDATE child SET n = n + 10 WHERE b = 'y' OR b IS NULL")
            assert (await preview(other, text)).digest == shown.digest
            await other.execute("UPDATE child_2 SET n = n + 10 WHERE b = 'x'")
        with pytest.raises(EffectChanged):
            await commit(source, text, shown)


async def test_rows_that_the_role_may_not_read_are_cascaded_to_and_compared_by_their_number(
    orders: Connection, connect: Connect
) -> None:
    role = f"clerk_{uuid4().hex}"
    await make(
        orders,
        f"CREATE ROLE {role}",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT, DELETE, UPDATE ON orders TO {role}",
    )
    try:
        async with connect() as clerk:
            await clerk.execute(f"SET ROLE {role}")
            shown = await preview(clerk, "DELETE FROM orders WHERE id = 2")
            assert shown.touched == (Touched("public.lines", 0, 0, 1),)
            await orders.execute("UPDATE lines SET id = 20 WHERE id = 2")
            await commit(clerk, "DELETE FROM orders WHERE id = 2", shown)
    finally:
        await make(orders, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


async def test_a_function_that_is_dropped_meanwhile_makes_another_hash(source: Connection, connect: Connect) -> None:
    await make(
        source,
        "CREATE FUNCTION one() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION two() RETURNS integer LANGUAGE sql AS 'SELECT 2'",
    )
    cursor = await source.execute("SELECT 'one'::regproc::oid, 'two'::regproc::oid")
    reached = Reached(functions=set(*await cursor.fetchall()))
    async with connect() as other, source.transaction():
        await source.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        before = await hash_definitions(source, reached)
        await other.execute("DROP FUNCTION two()")
        assert await hash_definitions(source, reached) != before


async def test_a_preview_of_the_release_before_is_compared_without_what_it_does_not_know(orders: Connection) -> None:
    text = "DELETE FROM orders WHERE id = 2"
    stored = (await preview(orders, text)).to_json()
    assert stored.pop("touched_hash")
    assert (await commit(orders, text, Preview.from_json(stored))).counts["deleted"] == 1
