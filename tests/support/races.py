"""What others may do between a preview and its commit."""

from dataclasses import dataclass

from tests.support.changes import Connection

TABLES = (
    "CREATE TABLE t (id integer PRIMARY KEY, n integer, label text DEFAULT 'old')",
    "CREATE TABLE child (id integer PRIMARY KEY, t integer REFERENCES t ON DELETE CASCADE)",
    "INSERT INTO t SELECT i, i * 10, 'row ' || i FROM generate_series(1, 6) AS i",
    "INSERT INTO child VALUES (1, 1), (2, 2)",
)
TRIGGER = (
    "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.label := 'one'; RETURN NEW; END $$",
    "CREATE TRIGGER stamp BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stamp()",
)
CHANGED = "CREATE OR REPLACE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NEW; END $$"
UPDATE = "UPDATE t SET n = n + 1 WHERE n < 35"
INSERT = "INSERT INTO t (id, n) VALUES (100, 1)"


@dataclass(frozen=True, slots=True)
class Race:
    """A write, and what somebody does after its preview."""

    name: str
    write: str
    meanwhile: tuple[str, ...]
    extra: tuple[str, ...] = ()


RACES = (
    Race("concurrent edit", UPDATE, ("UPDATE t SET label = 'theirs' WHERE id = 2",)),
    Race("new matching row", UPDATE, ("INSERT INTO t VALUES (7, 5)",)),
    Race("edit and revert", UPDATE, ("UPDATE t SET n = 21 WHERE id = 2", "UPDATE t SET n = 20 WHERE id = 2")),
    Race("late child row", "DELETE FROM t WHERE id < 3", ("INSERT INTO child VALUES (3, 1)",)),
    Race(
        "rewritten table",
        UPDATE,
        (
            "CREATE TABLE kept AS SELECT * FROM t",
            "TRUNCATE t CASCADE",
            "INSERT INTO t SELECT * FROM kept",
            "DROP TABLE kept",
        ),
    ),
    Race("deleted row", UPDATE, ("DELETE FROM child", "DELETE FROM t WHERE id = 3")),
    Race("row that matches no more", UPDATE, ("UPDATE t SET n = 99 WHERE id = 3",)),
    Race("changed trigger", UPDATE, (CHANGED.format("NEW.label := 'two';"),), TRIGGER),
    Race("new trigger with side effects", UPDATE, (CHANGED.format("PERFORM pg_notify('a', 'b');"),), TRIGGER),
    Race("dropped trigger", UPDATE, ("DROP TRIGGER stamp ON t",), TRIGGER),
    Race("changed default", INSERT, ("ALTER TABLE t ALTER label SET DEFAULT 'new'",)),
    Race("new column", UPDATE, ("ALTER TABLE t ADD more integer DEFAULT 1",)),
    Race("changed type", UPDATE, ("ALTER TABLE t ALTER n TYPE bigint",)),
    Race("dropped column", UPDATE, ("ALTER TABLE t DROP label",)),
    Race("dropped table", UPDATE, ("DROP TABLE t CASCADE",)),
    Race("new constraint", UPDATE, ("ALTER TABLE t ADD CHECK (n <> 21)",)),
    Race("key taken", INSERT, ("INSERT INTO t VALUES (100, 2)",)),
)
IN_FLIGHT = (
    Race("concurrent edit", UPDATE, ("UPDATE t SET label = 'theirs' WHERE id = 2",)),
    Race("edit and revert", UPDATE, ("UPDATE t SET n = 21 WHERE id = 2", "UPDATE t SET n = 20 WHERE id = 2")),
    Race("late child row", "DELETE FROM t WHERE id < 3", ("INSERT INTO child VALUES (3, 1)",)),
    Race("deleted row", UPDATE, ("DELETE FROM t WHERE id = 3",)),
    Race("key taken", INSERT, ("INSERT INTO t VALUES (100, 2)",)),
    Race("new column", UPDATE, ("ALTER TABLE t ADD more integer DEFAULT 1",)),
    Race(
        "new trigger",
        UPDATE,
        ("CREATE TRIGGER more BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stamp()",),
        TRIGGER[:1],
    ),
    Race(
        "rewritten table",
        UPDATE,
        ("TRUNCATE t CASCADE", "INSERT INTO t SELECT i, i * 10 FROM generate_series(1, 6) AS i"),
    ),
)
"""What somebody is in the middle of while the commit begins, and commits before the commit ends."""
KEPT = ("VACUUM FULL t", "CLUSTER t USING t_pkey")
"""What writes a table anew without changing a row."""


async def lay_out(connection: Connection, race: Race) -> None:
    """Make the race's tables, in an empty schema `public`."""
    await connection.execute("DROP SCHEMA IF EXISTS public CASCADE")
    await connection.execute("CREATE SCHEMA public")
    for statement in (*TABLES, *race.extra):
        await connection.execute(statement.encode())
