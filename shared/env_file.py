"""The file `.env`, read as Docker Compose reads it: both get the same values of the same file.

Source: the packages `dotenv` and `template` of compose-go. A value in single quotes stands for itself. In other values, `$NAME`
and `${NAME}` are replaced, `${NAME:-text}` and the like have their meaning of the shell, and `$$` is a `$`. The environment
goes before the lines above.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from shared.errors import SettingsInvalid

Lookup = Callable[[str], str | None]

_SPACE: Final = "\t\v\f\r \x85\xa0"
_EXPORT: Final = re.compile(r"export\s+")
_NAME: Final = re.compile(rf"(?P<name>[\w.\[\]{_SPACE}-]*)(?P<end>[=:\n]|\Z)")
_ESCAPE: Final = re.compile(r"\\(?:[abcfnrtv$\"\\]|0\d{0,3})")
_ESCAPED: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}
_OCTAL_DIGITS: Final = 3
_VARIABLE: Final = re.compile(r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_][A-Za-z0-9_]*)|(?P<open>\{))")
_BRACED: Final = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<colon>:?)(?P<kind>[-+?])(?P<text>.*))?", re.DOTALL)


def read_env_file(path: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The names and values of the file; of a name that comes twice, the last value.

    Raises:
        SettingsInvalid: Docker Compose would refuse the file, or the file can't be read. The message names the line, where
            there is one, and quotes no value.

    """
    text = _text_of(path)
    around = os.environ if environment is None else environment
    values: dict[str, str] = {}
    at = 0
    while (at := _next_statement(text, at)) < len(text):
        line = text.count("\n", 0, at) + 1
        try:
            at = _take(text, at, values, lambda name: around.get(name, values.get(name)), around)
        except ValueError as error:
            raise SettingsInvalid(f"{path}, line {line}: {error}") from None
    return values


def _text_of(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SettingsInvalid(f"{path}: can't be read: {error.strerror}") from None
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SettingsInvalid(f"{path}, line {line}: is not UTF-8") from None


def _next_statement(text: str, at: int) -> int:
    while at < len(text):
        if text[at] == "#":
            at = _line_end(text, at)
        elif not text[at].isspace():
            break
        else:
            at += 1
    return at


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _take(text: str, at: int, values: dict[str, str], lookup: Lookup, around: Mapping[str, str]) -> int:
    """Add the variable that begins here. Returns where its value ends."""
    export = _EXPORT.match(text, at)
    match = _NAME.match(text, export.end() if export else at)
    name = match["name"].strip() if match else ""
    if match is None or not name or " " in name:
        raise ValueError("is no NAME=value")
    at = match.end()
    if match["end"] not in {"=", ":"}:
        # A name alone takes its value from the environment.
        if name in around:
            values[name] = around[name]
        return at
    while at < len(text) and text[at] in _SPACE:
        at += 1
    if text[at : at + 1] in {"'", '"'}:
        value, end = _quoted(text, at)
        values[name] = value if text[at] == "'" else _replace_variables(_unescape(value), lookup)
        return end
    end = _line_end(text, at)
    values[name] = _replace_variables(text[at:end].partition(" #")[0].rstrip(), lookup)
    return end


def _quoted(text: str, at: int) -> tuple[str, int]:
    """What is between the quotation mark here and its like, and where it ends. A mark after a backslash is in it."""
    mark = text[at]
    match = re.compile(rf"((?:\\.|[^\\{mark}])*){mark}", re.DOTALL).match(text, at + 1)
    if match is None:
        raise ValueError("has no second quotation mark")
    return re.sub(rf"(\\\\)|\\{mark}", lambda pair: pair[1] or mark, match[1]), match.end()


def _unescape(value: str) -> str:
    def replace(match: re.Match[str]) -> str:
        kind = match[0][1:]
        if kind == "$":
            return "$$"
        if kind.startswith("0"):
            digits = kind[1:]
            is_character = len(digits) == _OCTAL_DIGITS and not set(digits) & set("89") and int(digits, 8) < 256  # noqa: PLR2004
            return chr(int(digits, 8)) if is_character else match[0]
        return _ESCAPED.get(kind, match[0])

    return _ESCAPE.sub(replace, value)


def _replace_variables(value: str, lookup: Lookup) -> str:
    """The value with its variables replaced.

    Raises:
        ValueError: a `${` is not closed or names no variable, or a variable that must have a value has none.

    """
    made, at = "", 0
    while match := _VARIABLE.search(value, at):
        made += value[at : match.start()]
        at = match.end()
        if match["dollar"]:
            made += "$"
        elif match["plain"]:
            made += lookup(match["plain"]) or ""
        else:
            end = _closing_brace(value, at)
            made += _braced(value[at:end], lookup)
            at = end + 1
    return made + value[at:]


def _closing_brace(value: str, at: int) -> int:
    depth = 1
    for place in range(at, len(value)):
        depth += {"{": 1, "}": -1}.get(value[place], 0)
        if depth == 0:
            return place
    raise ValueError("has a ${ that is not closed; a $ that stands for itself is written $$")


def _braced(text: str, lookup: Lookup) -> str:
    match = _BRACED.fullmatch(text)
    if match is None:
        raise ValueError("has a ${…} that names no variable; a $ that stands for itself is written $$")
    found = lookup(match["name"])
    is_there = bool(found) if match["colon"] else found is not None
    match match["kind"]:
        case "-":
            return found or "" if is_there else _replace_variables(match["text"], lookup)
        case "+":
            return _replace_variables(match["text"], lookup) if is_there else found or ""
        case "?" if not is_there:
            raise ValueError(f"needs {match['name']}, which has no value")
        case _:
            return found or ""
