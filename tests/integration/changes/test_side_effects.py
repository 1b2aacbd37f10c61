"""What a rollback would not undo is refused before anything runs."""

import pytest

from shared.data_sources.changes.effects import PreviewBounds
from shared.errors import StatementRefused
from tests.support.changes import BOUNDS, Connection, preview, state

UPDATE = "UPDATE t SET n = n + 1"
TRIGGER = "CREATE TRIGGER act AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION act()"


def function(body: str, name: str = "act", returns: str = "trigger") -> str:
    return f"CREATE FUNCTION {name}() RETURNS {returns} LANGUAGE plpgsql AS $body$ {body} $body$"


async def refusal(
    source: Connection, *statements: str, text: str = UPDATE, bounds: PreviewBounds = BOUNDS
) -> str | None:
    """Why a write is refused, as a word; None where it is not."""
    await source.execute("CREATE TABLE t (id integer PRIMARY KEY, n integer, label text)")
    await source.execute("INSERT INTO t VALUES (1, 1, 'a')")
    for statement in statements:
        await source.execute(statement.encode())
    before = await state(source)
    try:
        await preview(source, text, bounds)
    except StatementRefused as refused:
        return refused.reason
    finally:
        assert await state(source) == before
    return None


HARMFUL = [
    "BEGIN PERFORM pg_notify('a', 'b'); RETURN NULL; END",
    "BEGIN PERFORM pg_advisory_lock(1); RETURN NULL; END",
    "BEGIN PERFORM pg_catalog.pg_advisory_lock(1); RETURN NULL; END",
    'BEGIN PERFORM "pg_advisory_lock"(1); RETURN NULL; END',
    "BEGIN PERFORM /* */ pg_advisory_lock(1); RETURN NULL; END",
    "BEGIN PERFORM pg_advisory_lock -- comment\n (1); RETURN NULL; END",
    "BEGIN EXECUTE 'SELECT pg_advisory_lock(1)'; RETURN NULL; END",
    "BEGIN EXECUTE format('%s', NEW.label); RETURN NULL; END",
    "BEGIN NOTIFY a; RETURN NULL; END",
    "BEGIN COPY t TO PROGRAM 'true'; RETURN NULL; END",
    "BEGIN TRUNCATE other; RETURN NULL; END",
    "BEGIN CREATE TABLE made (id integer); RETURN NULL; END",
    "BEGIN CALL anything(); RETURN NULL; END",
    "BEGIN DO 'x'; RETURN NULL; END",
    "BEGIN LOCK TABLE t; RETURN NULL; END",
    "BEGIN RAISE NOTICE '%', E'\\'' || pg_notify('a', 'b') || E'\\''; RETURN NULL; END",
    "BEGIN RAISE NOTICE '%', $$ ' $$ || pg_notify('a', 'b') || $$ ' $$; RETURN NULL; END",
    "BEGIN PERFORM set_config('a.b', 'c', false); RETURN NULL; END",
    "BEGIN PERFORM setval('numbers', 1, false); RETURN NULL; END",
    "BEGIN UPDATE pg_settings SET setting = '1'; RETURN NULL; END",
    "DECLARE x text := pg_notify('a', 'b'); BEGIN RETURN NULL; END",
    "BEGIN IF pg_try_advisory_lock(1) THEN NULL; END IF; RETURN NULL; END",
    "DECLARE i record; BEGIN FOR i IN EXECUTE 'SELECT 1' LOOP NULL; END LOOP; RETURN NULL; END",
]
HARMLESS = [
    "BEGIN NEW.label := lower(NEW.label); RETURN NEW; END",
    "BEGIN IF NEW.n > 3 THEN RAISE EXCEPTION 'no: %', NEW.n; END IF; RETURN NEW; END",
    "BEGIN INSERT INTO audit (what) VALUES (OLD.label || ' -> ' || coalesce(NEW.label, '')); RETURN NULL; END",
    "BEGIN INSERT INTO public.audit (what) SELECT upper(label) FROM t WHERE id IN (1, 2); RETURN NULL; END",
    "DECLARE total integer; BEGIN SELECT sum(n) INTO total FROM t; RETURN NULL; END",
    "BEGIN NEW.n = nextval('numbers'); RETURN NEW; END",
    "BEGIN DELETE FROM audit WHERE what = 'old'; UPDATE audit SET what = 'new' WHERE id > 5; RETURN NULL; END",
]


@pytest.mark.parametrize("body", HARMFUL)
async def test_a_trigger_that_may_reach_beyond_tables_is_refused(source: Connection, body: str) -> None:
    await source.execute("CREATE TABLE other (id integer)")
    await source.execute("CREATE SEQUENCE numbers")
    assert await refusal(source, function(body), TRIGGER) == "side_effects"


@pytest.mark.parametrize("body", HARMLESS)
async def test_a_trigger_of_plain_statements_is_let_through(source: Connection, body: str) -> None:
    await source.execute("CREATE TABLE audit (id serial PRIMARY KEY, what text)")
    await source.execute("CREATE SEQUENCE numbers")
    assert await refusal(source, function(body), TRIGGER) is None


BAD = function("BEGIN PERFORM pg_notify('a', 'b'); RETURN NULL; END", "bad")
BAD_VALUE = (
    "CREATE FUNCTION bad() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_notify('a', 'b'); RETURN 1; END $$"
)


@pytest.mark.parametrize(
    "statements",
    [
        [BAD, "CREATE TRIGGER act AFTER UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION bad()"],
        [BAD, "CREATE CONSTRAINT TRIGGER act AFTER UPDATE ON t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION bad()"],
        [BAD_VALUE, "CREATE FUNCTION middle() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RETURN bad(); END $$",
         function("BEGIN PERFORM middle(); RETURN NULL; END"), TRIGGER],
        [BAD, "CREATE TABLE audit (id serial PRIMARY KEY, what text)",
         "CREATE TRIGGER act AFTER INSERT ON audit FOR EACH ROW EXECUTE FUNCTION bad()",
         function("BEGIN INSERT INTO audit (what) VALUES ('x'); RETURN NULL; END"), TRIGGER],
        [BAD_VALUE, "ALTER TABLE t ADD CHECK (n < 100 + bad())"],
        ["CREATE SEQUENCE numbers", "ALTER TABLE t ADD CHECK (setval('numbers', 1) > 0)"],
        [BAD_VALUE.replace("LANGUAGE", "IMMUTABLE LANGUAGE"), "CREATE INDEX ON t ((n + bad()))"],
        [BAD_VALUE, "CREATE VIEW seen AS SELECT bad()",
         function("BEGIN PERFORM count(*) FROM seen; RETURN NULL; END"), TRIGGER],
        [BAD_VALUE, "CREATE FUNCTION plus(t, integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RETURN bad(); END $$",
         "CREATE OPERATOR |> (FUNCTION = plus, LEFTARG = t, RIGHTARG = integer)",
         function("BEGIN PERFORM NEW |> 1; RETURN NULL; END"), TRIGGER],
    ],
)  # fmt: skip
async def test_side_effects_are_found_wherever_the_change_reaches_them(
    source: Connection, statements: list[str]
) -> None:
    assert await refusal(source, *statements) == "side_effects"


async def test_side_effects_of_tables_that_cascades_reach_are_found(source: Connection) -> None:
    statements = (
        "CREATE TABLE child (id integer PRIMARY KEY, t integer REFERENCES t ON DELETE CASCADE)",
        "CREATE TABLE leaf (id integer PRIMARY KEY, child integer REFERENCES child ON DELETE CASCADE)",
        BAD,
        "CREATE TRIGGER act AFTER DELETE ON leaf FOR EACH ROW EXECUTE FUNCTION bad()",
    )
    assert await refusal(source, *statements, text="DELETE FROM t") == "side_effects"
    assert (await preview(source, UPDATE)).counts["updated"] == 1  # which cascades to nothing


async def test_a_default_with_side_effects_is_refused(source: Connection) -> None:
    statements = (BAD_VALUE, "ALTER TABLE t ADD extra integer", "ALTER TABLE t ALTER extra SET DEFAULT bad()")
    assert await refusal(source, *statements, text="INSERT INTO t (id) VALUES (5)") == "side_effects"


async def test_a_default_that_calls_a_function_of_the_server_with_side_effects_is_refused(source: Connection) -> None:
    statements = ("ALTER TABLE t ADD extra boolean", "ALTER TABLE t ALTER extra SET DEFAULT pg_try_advisory_lock(1)")
    assert await refusal(source, *statements, text="INSERT INTO t (id) VALUES (5)") == "side_effects"


async def test_a_function_that_the_settings_trust_is_let_through(source: Connection) -> None:
    bounds = PreviewBounds(trusted_functions=frozenset({"public.bad"}))
    trigger = "CREATE TRIGGER act AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION bad()"
    assert await refusal(source, BAD, trigger, bounds=bounds) is None


async def test_a_trigger_that_is_off_or_of_another_kind_of_change_is_no_matter(source: Connection) -> None:
    statements = (
        BAD,
        "CREATE TRIGGER act AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION bad()",
        "ALTER TABLE t DISABLE TRIGGER act",
        "CREATE TRIGGER other AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION bad()",
    )
    assert await refusal(source, *statements) is None
