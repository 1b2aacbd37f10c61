"""Takes the ownership condition out of each query, one at a time, and looks whether the tests notice.

`uv run python -m bench.ownership [TEST ...]` changes a copy of the code, runs the tests (those of two users, by default) on
each change, and prints what nobody noticed. It takes about ten seconds for each of the conditions.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeGuard

ROOT: Final = Path(__file__).parents[1]
FOLDERS: Final = ("services", "shared", "migrations", "tests")
TESTS: Final = ("tests/integration/routes/test_two_users.py",)
TRUE: Final = '__import__("sqlalchemy").true()'
IN_SQL: Final = re.compile(r"\buser_id = :(\w+)")
SECONDS: Final = 300


class Condition(NamedTuple):
    """An ownership condition: where it stands, and what stands in its place in the changed file."""

    path: str
    line: int
    text: str
    changed: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def conditions(path: Path) -> Iterator[Condition]:
    """The ownership conditions of a module."""
    source = path.read_text()
    lines = source.splitlines(keepends=True)
    name = str(path.relative_to(ROOT))
    for node in ast.walk(ast.parse(source)):
        if _is_ownership(node):
            begin = sum(map(len, lines[: node.lineno - 1])) + _characters(lines[node.lineno - 1], node.col_offset)
            end_line = node.end_lineno or node.lineno
            end = sum(map(len, lines[: end_line - 1])) + _characters(lines[end_line - 1], node.end_col_offset or 0)
            yield Condition(name, node.lineno, source[begin:end], f"{source[:begin]}({TRUE}){source[end:]}")
    for found in IN_SQL.finditer(source):
        changed = f"{source[: found.start()]}CAST(:{found[1]} AS bigint) IS NOT NULL{source[found.end() :]}"
        yield Condition(name, source.count("\n", 0, found.start()) + 1, found[0], changed)


def _is_ownership(node: ast.AST) -> TypeGuard[ast.expr]:
    match node:
        case ast.Call(func=ast.Name("owned_by")):
            return True
        case ast.Compare(
            left=ast.Attribute(value=ast.Name(table), attr="user_id"), ops=[ast.Eq()], comparators=[other]
        ):
            # A join of two tables is no condition of ownership.
            return table not in {"row", "self"} and not (isinstance(other, ast.Attribute) and _is_table(other.value))
        case _:
            return False


def _is_table(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id[:1].isupper()


def _characters(line: str, offset: int) -> int:
    """How many characters the first bytes of a line have."""
    return len(line.encode()[:offset].decode())


def is_noticed(copy: Path, tests: list[str]) -> bool:
    """Whether a test fails on what is in the copy."""
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-x", "--no-header", "-p", "no:cacheprovider", *tests]
    around = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(command, cwd=copy, capture_output=True, timeout=SECONDS, check=False, env=around)
    if done.returncode not in {0, 1}:
        raise SystemExit(done.stdout.decode()[-2000:])
    return done.returncode == 1


def main(tests: list[str]) -> None:
    """Change, test and tell."""
    found = [
        one
        for top in ("services/api", "shared")
        for path in sorted((ROOT / top).rglob("*.py"))
        for one in conditions(path)
    ]
    unnoticed = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in FOLDERS:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        if is_noticed(copy, tests):
            raise SystemExit("The tests fail on unchanged code.")
        for number, condition in enumerate(found, start=1):
            began = time.monotonic()
            unchanged = (copy / condition.path).read_text()
            (copy / condition.path).write_text(condition.changed)
            noticed = is_noticed(copy, tests)
            (copy / condition.path).write_text(unchanged)
            unnoticed += [] if noticed else [condition]
            told = "noticed" if noticed else "NOT noticed"
            print(f"{number}/{len(found)} {told} {time.monotonic() - began:.0f} s {condition}", flush=True)
    print(f"{len(found) - len(unnoticed)} of {len(found)} conditions are noticed.", *unnoticed, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:] or list(TESTS))
