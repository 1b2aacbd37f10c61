"""The code uses the words of docs/glossary.md. Names that stood for the same things before do not come back."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("bench", "migrations", "services", "shared", "tests")
GLOSSARY = ROOT / "docs" / "glossary.md"


class Retired(NamedTuple):
    """A name that is not used any more, and the one to use instead. `within` is where that holds: a folder, or all."""

    name: str
    instead: str
    within: str = ""


NAMES: Final = (
    Retired("Again", "RetryNotice"),
    Retired("Asides", "TransientFrames"),
    Retired("Ended", "Outcome"),
    Retired("Folder", "Summarizer"),
    Retired("Hints", "JobSender"),
    Retired("Interrupted", "OpenGeneration"),
    Retired("Line", "QueuePositions"),
    Retired("Pen", "LogWriter"),
    Retired("Ring", "Notification"),
    Retired("Said", "ModelMessage"),
    Retired("Stops", "CancelSignals"),
    Retired("UnderWay", "UsageMeter"),
    Retired("at_once", "flush_now"),
    Retired("fold", "summarize"),
    Retired("folder", "summarizer", "services/worker"),
    Retired("heard", "had_subscriber"),
    Retired("held", "claim, lease or resources", "services"),
    Retired("held", "claim, lease or resources", "shared"),
    Retired("recall", "load_history", "services"),
    Retired("recalled", "history"),
    Retired("rejoins", "rewrites_opening"),
    Retired("search_intent", "search_question"),
    Retired("seldomer", "backoff"),
    Retired("spoken_calls", "said_calls", "services"),
    Retired("together", "in_transaction", "services"),
    Retired("unshown", "catch_up_steps"),
)
"""Whole names, as they are written: of modules, classes, functions, parameters, variables and attributes."""

WORDS: Final = (
    Retired("cues", "search_question"),
    Retired("desk", "what the function uses"),
    Retired("doorbell", "subscription"),
    Retired("folded", "summarized"),
    Retired("pen", "log writer"),
    Retired("seldomer", "backoff"),
    Retired("upkeep", "maintenance"),
)
"""Words that no name contains, however it is written."""

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")


class Found(NamedTuple):
    """A name in a file, and its line; 0 for the file's own name."""

    line: int
    name: str


def names_in(source: str) -> Iterator[Found]:
    """The names that a module defines, binds or asks for, but not what its texts say."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case (
                ast.ClassDef(name=name)
                | ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.arg(arg=name)
                | ast.Name(id=name)
                | ast.Attribute(attr=name)
                | ast.keyword(arg=str(name))
            ):
                yield Found(getattr(node, "lineno", 0), name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from (Found(node.lineno, alias.asname or alias.name.rpartition(".")[2]) for alias in aliases)


def retired(name: str, path: str) -> Retired | None:
    """Why a name can't be used in this file; None when it can. Tests are called by sentences, which may have any word."""
    is_sentence = name.startswith("test_") and path.startswith("tests/") and name != Path(path).stem
    words = {word.lower() for word in _WORD.findall(name)}
    for entry in NAMES:
        if name == entry.name and path.startswith(entry.within):
            return entry
    for entry in WORDS:
        if entry.name in words and path.startswith(entry.within) and not is_sentence:
            return entry
    return None


def complaints(path: str, source: str) -> Iterator[str]:
    """What is wrong with a file's names."""
    own = [Found(0, part) for part in Path(path).with_suffix("").parts]
    for line, name in (*own, *names_in(source)):
        if entry := retired(name, path):
            yield f"{path}:{line}: {name!r} is retired, see docs/glossary.md: use {entry.instead!r}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_retired_name_is_used(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    told = [told for file in files for told in complaints(file.relative_to(ROOT).as_posix(), file.read_text("utf-8"))]
    assert told == []


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("class Pen: ...", 1),
        ("\ndef open_pen(): ...", 2),
        ("async def f(*, at_once): ...", 1),
        ("x = 1\nx.heard", 2),
        ("f(rejoins=True)", 1),
        ("Doorbell = 1", 1),
        ("from shared.streams import cues", 1),
        ("import shared as pen", 1),
        ("DOORBELL_SECONDS = 1", 1),
    ],
)
def test_a_retired_name_is_found_wherever_it_stands(source: str, line: int) -> None:
    (told,) = complaints("shared/x.py", source)
    assert told.startswith(f"shared/x.py:{line}: ")


@pytest.mark.parametrize("source", ['"The Pen"', "# at_once", "pending = 1", "line = scaffold = 1", "Outline = 1"])
def test_prose_and_other_words_are_left_alone(source: str) -> None:
    assert list(complaints("shared/x.py", source)) == []


def test_a_files_own_name_is_looked_at_too() -> None:
    assert len(list(complaints("services/worker/pen.py", ""))) == 1


def test_a_name_may_be_retired_in_one_folder_only() -> None:
    assert len(list(complaints("services/x.py", "together = 1"))) == 1
    assert list(complaints("tests/x.py", "together = 1")) == []


def unclear(glossary: str) -> list[str]:
    """The words of a glossary that stand for two things without saying of what, "**word** (of a thing)"."""
    of = dict[str, list[str]]()
    for word, thing in re.findall(r"^\| \*\*(.+?)\*\*(.*?) \|", glossary, re.MULTILINE):
        of.setdefault(word, []).append(thing)
    return [word for word, things in of.items() if len(things) > 1 and (len(set(things)) < len(things) or "" in things)]


def test_a_word_of_the_glossary_that_stands_for_two_things_says_of_what() -> None:
    assert unclear(GLOSSARY.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("thing", ["", " (of a chat)"])
def test_a_word_that_stands_twice_without_a_difference_is_found(thing: str) -> None:
    assert unclear(f"| **chunk** (of a chat) | This. |\n| **chunk**{thing} | That. |\n| **seam** | Once. |") == [
        "chunk"
    ]
