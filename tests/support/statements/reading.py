"""The statements of this folder, and the schema that they are about."""

from pathlib import Path
from typing import Final

from shared.data_sources.schema import Column, Schema, Table

FOLDER: Final = Path(__file__).parent
TABLES: Final = (FOLDER / "schema.sql").read_text()
# Of the trap functions, each hostile statement under [shadowed] or [attributes] needs one.
TRAPS: Final = """
CREATE FUNCTION evil(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION shadow(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION reverse(varchar) RETURNS text LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION trap(record) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION shift(int, int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE OPERATOR public.<< (LEFTARG = int, RIGHTARG = int, FUNCTION = shift);
CREATE DOMAIN evil_domain AS text;
"""
# Pieces that two lexers are likely to cut in two ways.
PIECES: Final = (
    "'", "''", '"', "\\", "$", "$$", "$a$", "--", "/*", "*/", ";", "E'", "U&'", 'U&"', "\n", "\r", "\t", " ", "(", ")", "[",
    "]", ".", ",", "::", ":", "+", "-", "*", "/", "#", "@", "?", "select", "from", "orders", "delete", "1", "1e", "x", "n'",
    "\u00a0", "é", "union", "where", "as", "=", "||", "->", "id",
)  # fmt: skip


def ordinary(name: str) -> list[str]:
    """Read a list of ordinary statements. A line that begins with a space goes on."""
    return (
        (FOLDER / f"{name}.sql")
        .read_text()
        .rstrip("\n")
        .replace("\n ", "\r ")
        .replace("\n", "\v")
        .replace("\r", "\n")
        .split("\v")
    )


def hostile(name: str) -> list[tuple[str, str]]:
    """Read a list of hostile statements, each with its kind."""
    found: list[tuple[str, str]] = []
    kind = ""
    for line in (FOLDER / f"{name}.txt").read_text().splitlines():
        if line.startswith("["):
            kind = line.strip("[]")
        elif line and not line.startswith("#"):
            found.append((kind, _unescaped(line)))
    return found


def _unescaped(line: str) -> str:
    for name in ("00a0", "3000", "2028", "000b", "000c"):
        line = line.replace(f"\\u{name}", chr(int(name, 16)))
    return line.replace("\\\\", "\x1a").replace("\\n", "\n").replace("\\0", "\0").replace("\x1a", "\\")


def plain_schema() -> Schema:
    """Make a small schema without a server."""
    names = {"orders": "id customer_id total note status", "customers": "id name city", "items": "id order_id"}
    return Schema(
        tuple(
            Table("public", table, "table", tuple(Column(name, "text") for name in columns.split()), ("id",))
            for table, columns in names.items()
        )
    )
