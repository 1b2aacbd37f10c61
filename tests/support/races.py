"""What others may do between a preview and its commit."""

from dataclasses import dataclass

from tests.support.changes import Connection

TABLES = (
    "CREATE TABLE t (id integer PRIMARY KEY, n integer, label text DEFAULT 'old')",
    "CREATE TABLE child (id integer PRIMARY KEY, t integer REFERENCES t ON DELETE CASCADE, label text)",
    "INSERT INTO t SELECT i, i * 10, 'row ' || i FROM generate_series(1, 6) AS i",
    "INSERT INTO child VALUES (1, 1), (2, 2)",
)
TRIGGER = (
    "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.label := 'one'; RETURN NEW; END $$",
    "CREATE TRIGGER stamp BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stamp()",
)
CHANGED = "CREATE OR REPLACE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NEW; END $$"
BELOW = (
    "CREATE TABLE note (id integer PRIMARY KEY, child integer REFERENCES child ON DELETE SET NULL, text text)",
    "INSERT INTO note VALUES (1, 1, 'first'), (2, NULL, 'second')",
)
CODES = (
    "CREATE TABLE coded (code text PRIMARY KEY, n integer)",
    "INSERT INTO coded VALUES ('a', 1), ('b', 2)",
    "CREATE TABLE uses (id integer PRIMARY KEY, code text REFERENCES coded ON UPDATE CASCADE, text text)",
    "INSERT INTO uses VALUES (1, 'a', 'x'), (2, 'b', 'y')",
)
RECODE = "UPDATE coded SET code = code || '1', n = n + 1 WHERE code = 'a'"
TREE = (
    "CREATE TABLE tree (id integer PRIMARY KEY, up integer REFERENCES tree ON DELETE CASCADE ON UPDATE CASCADE, n integer)",
    "INSERT INTO tree VALUES (1, NULL, 1), (2, 1, 2), (3, 2, 3), (4, 4, 4)",
)
LOGGED = (
    "CREATE TABLE log (what text)",
    "CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES ('1'); RETURN NULL; END $$",
    "CREATE TRIGGER note_it AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note_it()",
)
LOGS_OTHER = (
    "CREATE OR REPLACE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN INSERT INTO log VALUES ('two'); RETURN NULL; END $$"
)
UPDATE = "UPDATE t SET n = n + 1 WHERE n < 35"
DELETE = "DELETE FROM t WHERE id < 3"
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
    Race("edited child row", DELETE, ("UPDATE child SET label = 'theirs' WHERE id = 1",)),
    Race("child row replaced", DELETE, ("DELETE FROM child WHERE id = 1", "INSERT INTO child VALUES (9, 1)")),
    Race("edited grandchild row", DELETE, ("UPDATE note SET text = 'theirs' WHERE id = 1",), BELOW),
    Race("other grandchild row", DELETE, ("UPDATE note SET child = 3 - id WHERE id < 3",), BELOW),
    Race("edited row that follows a key", RECODE, ("UPDATE uses SET text = 'theirs' WHERE id = 1",), CODES),
    Race("edited leaf of a tree", "DELETE FROM tree WHERE id = 1", ("UPDATE tree SET n = 9 WHERE id = 3",), TREE),
    Race("changed trigger that writes elsewhere", UPDATE, (LOGS_OTHER,), LOGGED),
    Race("changed setting of such a trigger", UPDATE, ("ALTER FUNCTION note_it SET work_mem = '1MB'",), LOGGED),
    Race(
        "other action of a foreign key",
        DELETE,
        (
            "ALTER TABLE note DROP CONSTRAINT note_child_fkey",
            "ALTER TABLE note ADD CONSTRAINT note_child_fkey FOREIGN KEY (child) REFERENCES child ON DELETE SET DEFAULT",
        ),
        BELOW,
    ),
)
IN_FLIGHT = (
    Race("concurrent edit", UPDATE, ("UPDATE t SET label = 'theirs' WHERE id = 2",)),
    Race("edit and revert", UPDATE, ("UPDATE t SET n = 21 WHERE id = 2", "UPDATE t SET n = 20 WHERE id = 2")),
    Race("late child row", "DELETE FROM t WHERE id < 3", ("INSERT INTO child VALUES (3, 1)",)),
    Race("edited child row", DELETE, ("UPDATE child SET label = 'theirs' WHERE id = 1",)),
    Race("edited grandchild row", DELETE, ("UPDATE note SET text = 'theirs' WHERE id = 1",), BELOW),
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
UNTOUCHED = (
    Race("update of no key", "UPDATE coded SET n = 5", ("UPDATE uses SET text = 'theirs'",), CODES),
    Race("child row of another row", RECODE, ("UPDATE uses SET text = 'theirs' WHERE id = 2",), CODES),
    Race("update of a tree", "UPDATE tree SET n = 0 WHERE id = 1", ("UPDATE tree SET n = 9 WHERE id = 2",), TREE),
    Race("child row written again", DELETE, ("UPDATE child SET label = 'x'", "UPDATE child SET label = NULL")),
    Race("child row of another parent", DELETE, ("INSERT INTO child VALUES (9, 5)",)),
)
"""A write, and what somebody does after its preview that is no matter to it."""
KEPT = ("VACUUM FULL t", "CLUSTER t USING t_pkey")
"""What writes a table anew without changing a row."""


async def lay_out(connection: Connection, race: Race) -> None:
    """Make the race's tables, in an empty schema `public`."""
    await connection.execute("DROP SCHEMA IF EXISTS public CASCADE")
    await connection.execute("CREATE SCHEMA public")
    for statement in (*TABLES, *race.extra):
        await connection.execute(statement.encode())
