"""Tool calls: put together from pieces, or read from the text in which a model says them instead of calling."""

import json
import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from services.worker.models.port import ToolCall
from shared.protocol.encoding import clean

MAX_ARGUMENTS_CHARS: Final = 200_000
"""Of all tool calls of an answer together, with their names."""
MAX_NAME_CHARS: Final = 1_000
"""Of one tool's name, with what some models leave beside it. Each piece of a name costs a look at all of the name."""
MAX_ARGUMENTS_DEPTH: Final = 20
MAX_CALL_DEPTH: Final = 3
"""A said call may stand in a list, or in an object that has one of the usual names."""
MAX_CALLS: Final = 32
MAX_ID_CHARS: Final = 128
_CONTROL: Final = re.compile(r"<[|｜].*", re.DOTALL)
_NAMESPACE: Final = re.compile(r"(?:functions?|tools?|default_api)[.:/]")
_NUMBER: Final = re.compile(r":\d+$")
SAID_NAME: Final = re.compile(
    r"(?:<function[=(/]|\bto=|\bname=|<｜tool▁sep｜>|<\|tool_call_begin\|>|\[TOOL_CALLS\])\s*[\"']?([\w.:-]+)",
    re.IGNORECASE,
)
_PARAMETER: Final = re.compile(r"<parameter(?:=|\s+name=)[\"']?([\w.-]+)[\"']?\s*>")
_VALUE: Final = re.compile(r"\s*<arg_value>")
_PARAMETER_END: Final = "</parameter>"
_KEY: Final = "<arg_key>"
_KEY_END: Final = "</arg_key>"
_VALUE_END: Final = "</arg_value>"
_WORD: Final = re.compile(r"[\w.-]+")
_NAME_KEYS: Final = ("name", "tool_name", "tool", "function")
_ARGUMENT_KEYS: Final = ("arguments", "parameters", "args", "input")
_BEGIN: Final = re.compile(r"[{\[]")
DECODER: Final = json.JSONDecoder(strict=False)


@dataclass(slots=True)
class _Call:
    index: int | None
    id: str = ""
    name: str = ""
    arguments: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are a whole object."""
        return bool(self.arguments) and _object(self.arguments) is not None


class ToolCallPieces:
    """Puts the tool calls of one answer together from their pieces. `offered` are the names of the request's tools."""

    def __init__(self, offered: Collection[str]) -> None:
        self._offered = offered
        self._calls: list[_Call] = []
        self._length = 0
        self._longest_name = 0

    @property
    def is_full(self) -> bool:
        """Whether the calls have no end."""
        is_long = self._length > MAX_ARGUMENTS_CHARS or self._longest_name > MAX_NAME_CHARS
        return is_long or len(self._calls) > MAX_CALLS

    def add(self, pieces: object) -> None:
        """Take the pieces of one chunk, in whatever form."""
        for piece in pieces if isinstance(pieces, list) else [pieces]:
            if isinstance(piece, dict) and not self.is_full:
                self._add(piece)

    def say(self, name: str, arguments: dict[str, Any]) -> None:
        """Take a call that the model said in its text."""
        self._calls.append(_Call(None, "", name, json.dumps(arguments)))

    def made(self) -> tuple[ToolCall, ...]:
        """The calls, in the model's order, each with an id of its own."""
        calls: dict[str, ToolCall] = {}
        for number, call in enumerate(self._calls[:MAX_CALLS]):
            name = tool_name(call.name, self._offered)
            if not name and not call.arguments:
                continue
            call_id = clean(call.id)[:MAX_ID_CHARS] or f"call_{number}"
            if call_id in calls:
                call_id = f"{call_id}-{number}"
            calls[call_id] = ToolCall(call_id, clean(name), _arguments(call.arguments))
        return tuple(calls.values())

    def _add(self, piece: dict[str, Any]) -> None:
        function = piece.get("function")
        if isinstance(function, str):
            function = {**piece, "name": function}
        elif not isinstance(function, dict):
            function = piece
        name = function.get("name")
        name = name if isinstance(name, str) else ""
        arguments, is_object = _text_of(next((function[key] for key in _ARGUMENT_KEYS if function.get(key)), ""))
        call_id = piece.get("id")
        call_id = str(call_id) if isinstance(call_id, str | int) and call_id else ""
        index = piece.get("index")
        index = int(index) if isinstance(index, int | str) and str(index).isdecimal() else None
        call = self._find(index, call_id, name, arguments)
        call.id = call.id or call_id
        if name and call.name != name:
            # A name may come in pieces, or anew and longer.
            whole = name if name.startswith(call.name) else call.name + name
            self._length += len(whole) - len(call.name)
            self._longest_name = max(self._longest_name, len(whole))
            call.name = whole
        if is_object or not (arguments == call.arguments and call.is_whole):
            call.arguments = arguments if is_object else call.arguments + arguments
        self._length += len(arguments)

    def _find(self, index: int | None, call_id: str, name: str, arguments: str) -> _Call:
        """The call that a piece belongs to; a new one where the piece begins one."""
        known = next((call for call in self._calls if call_id and call.id == call_id), None)
        if known is not None and not (name and name != known.name and known.is_whole):
            return known
        last = next((call for call in reversed(self._calls) if index is None or call.index == index), None)
        if last is None and self._calls and not call_id and not name:
            last = self._calls[-1]  # some endpoints count the pieces instead of the calls
        if last is None or self._begins(last, call_id, name, arguments):
            self._calls.append(_Call(index))
            return self._calls[-1]
        return last

    def _begins(self, last: _Call, call_id: str, name: str, arguments: str) -> bool:
        """Whether a piece begins a new call after the last one of its index."""
        if not name:
            # A new id alone may be one that the endpoint makes anew for each piece.
            return bool(call_id and last.id and call_id != last.id and last.is_whole and arguments)
        if last.is_whole:
            is_other = bool(call_id and last.id and call_id != last.id)
            return is_other or name != last.name or bool(arguments and arguments != last.arguments)
        if call_id and last.id and call_id != last.id:
            return not last.arguments or not arguments or arguments.lstrip().startswith("{")
        if name == last.name or not last.name:
            return False
        return bool(last.arguments) or not self._is_rest_of_name(last.name, name)

    def _is_rest_of_name(self, beginning: str, piece: str) -> bool:
        """Whether a name that differs goes on with the name before. A whole name of a tool does not."""
        if piece.startswith(beginning):
            return True
        known = [tool_name(beginning, self._offered), tool_name(piece, self._offered)]
        return not any(name in self._offered for name in known)


def tool_name(name: str, offered: Collection[str]) -> str:
    """The tool's name, without the control tokens and the prefix that some models leave there."""
    if name in offered:
        return name
    name = _CONTROL.sub("", name).strip().strip("\"'`")
    if name in offered:
        return name
    name = _NUMBER.sub("", _NAMESPACE.sub("", name, count=1))
    return name.strip()


def said_calls(text: str, offered: Collection[str]) -> list[tuple[str, dict[str, Any]]]:
    """The calls of offered tools that a text says, in any of the forms that models have learned.

    `<function=name>{…}</function>`, `{"name": …, "arguments": {…}}`, `<parameter=key>value</parameter>`,
    `name<arg_key>key</arg_key><arg_value>value</arg_value>`, `to=functions.name … {…}`, `[TOOL_CALLS]name{…}`.
    """
    named = [(found.end(), tool_name(found[1], offered), found.start()) for found in SAID_NAME.finditer(text)]
    named = [(end, name, start) for end, name, start in named if name in offered]
    if named:
        ends = [start for _, _, start in named[1:]] + [len(text)]
        parts = [(name, text[end:until]) for (end, name, _), until in zip(named, ends, strict=True)]
        return [(name, arguments) for name, part in parts if (arguments := _said_arguments(part)) is not None]
    calls = [call for value in _values(text) for call in _calls_in(value, offered)]
    if calls:
        return calls
    word = _WORD.search(re.sub(r"<[^<>]*>|\[[A-Za-z_]+\]", " ", text[:200]))
    if word and (name := tool_name(word[0], offered)) in offered:
        arguments = _said_arguments(text)
        return [(name, arguments)] if arguments is not None else []
    return []


def _said_arguments(text: str) -> dict[str, Any] | None:
    """The arguments after a said name; None where they are broken."""
    pairs = list(_parameters(text)) or list(_keys_and_values(text))
    if pairs:
        return {key.strip(): _value(value.strip()) for key, value in pairs}
    at = text.find("{")
    if at < 0:
        return {}
    objects = [value for value in _values(text[at:]) if isinstance(value, dict)]
    return next(filter(None, objects), objects[0] if objects else None)


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    """The names and values in `<parameter=name>value</parameter>`."""
    # Each search goes on where the one before ended, so that a text is walked over once, whatever the model said.
    at = 0
    while opened := _PARAMETER.search(text, at):
        end = text.find(_PARAMETER_END, opened.end())
        if end < 0:
            return
        yield opened[1], text[opened.end() : end]
        at = end + len(_PARAMETER_END)


def _keys_and_values(text: str) -> Iterator[tuple[str, str]]:
    """The keys and values in `<arg_key>key</arg_key><arg_value>value</arg_value>`. A key without a value is passed over."""
    at = 0
    while (at := text.find(_KEY, at)) >= 0 and (end := text.find(_KEY_END, at)) >= 0:
        key, at = text[at + len(_KEY) : end], end + len(_KEY_END)
        opened = _VALUE.match(text, at)
        if opened is None:
            continue
        end = text.find(_VALUE_END, opened.end())
        if end < 0:
            return
        yield key, text[opened.end() : end]
        at = end + len(_VALUE_END)


def _value(text: str) -> Any:  # noqa: ANN401 - any JSON
    """A parameter's value: JSON where it is a number, an object or a list, else a text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, str) or value is None else value


def _values(text: str) -> Iterator[Any]:
    """The JSON objects and lists of a text, one after another."""
    at, tries = 0, 0
    while tries < MAX_CALLS and (found := _BEGIN.search(text, at)):
        tries += 1
        try:
            value, at = DECODER.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            at = found.end()
            continue
        yield value


def _calls_in(value: object, offered: Collection[str], depth: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """The calls that a JSON value is."""
    if isinstance(value, list) and depth < MAX_CALL_DEPTH:
        for item in value:
            yield from _calls_in(item, offered, depth + 1)
    if not isinstance(value, dict):
        return
    for key in ("function", "tool_calls", "function_call"):
        if isinstance(value.get(key), dict | list) and depth < MAX_CALL_DEPTH:
            yield from _calls_in(value[key], offered, depth + 1)
            return
    name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    if name is None or (name := tool_name(name, offered)) not in offered:
        return
    arguments: object = next((value[key] for key in _ARGUMENT_KEYS if key in value), {})
    if isinstance(arguments, str):
        arguments = _object(arguments)
    if isinstance(arguments, dict):
        yield name, arguments


def _text_of(arguments: object) -> tuple[str, bool]:
    """Arguments as text, and whether they were an object instead."""
    if isinstance(arguments, str):
        return ("{}" if arguments == "null" else arguments), False
    if isinstance(arguments, dict):
        try:
            return json.dumps(arguments), True
        except (ValueError, RecursionError):
            return "?", True
    return "", False


def _object(text: str) -> dict[str, Any] | None:
    """The object that a text is; None when it is none. What models leave behind the object is passed over."""
    try:
        value, end = DECODER.raw_decode(text.lstrip())
        if isinstance(value, str):
            value, end = DECODER.raw_decode(value.lstrip())[0], len(text)
        rest = text.lstrip()[end:].strip()
        if value == {} and rest.startswith("{"):
            value, end = DECODER.raw_decode(rest)
            rest = rest[end:].strip()
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or (rest and not _CONTROL.match(rest) and rest != "{}"):
        return None
    return value


def _arguments(text: str) -> dict[str, Any] | None:
    """The arguments; None when they are not an object that PostgreSQL and every reader of JSON can take."""
    if len(text) > MAX_ARGUMENTS_CHARS:
        return None
    try:
        arguments = _cleaned(_object(text.strip() or "{}"), MAX_ARGUMENTS_DEPTH)
    except (ValueError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None


def _cleaned(value: Any, depth: int) -> Any:  # noqa: ANN401 - any JSON
    """The value without what JSON can't hold though Python reads it: NUL, half a surrogate pair.

    Raises:
        ValueError: a number is NaN or infinite, or the value is nested too deeply.

    """
    if depth < 0:
        raise ValueError("nested too deeply")
    match value:
        case str():
            return clean(value)
        case float() if not math.isfinite(value):
            raise ValueError("no number")
        case dict():
            return {clean(name): _cleaned(item, depth - 1) for name, item in value.items()}
        case list():
            return [_cleaned(item, depth - 1) for item in value]
        case _:
            return value
