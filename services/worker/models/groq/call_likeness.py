"""What surely looks like a tool call in a text, though none of the tools is called: nobody wants to read it."""

import re
from collections.abc import Collection
from typing import Final

from services.worker.models.groq.calls import DECODER, SAID_NAME, tool_name

HEAD_CHARS: Final = 400
"""A call looks like one within so many characters."""
_ARGUMENTS: Final = re.compile(r"<parameter(?:=|\s+name=)|<arg_key>|[{\[]\s*(?:[\"{\[\]}]|\Z)")
_AROUND: Final = re.compile(r"<[^<>]{0,80}>|<[^<>\s]*\s*\Z|\[[A-Za-z_]+\]|```\w*")
"""Tags, control tokens and code fences."""
_NAME: Final = re.compile(r"(?:\s|<[^<>]{0,80}>|\[[A-Za-z_]+\]|```\w*|function\b)*([\w.:-]+)")
_AFTER_NAME: Final = re.compile(r"[\s\"')>]*(?:\Z|[{\[]|```json|<(?:[|\uff5c/]|parameter|arg_key))")
_AFTER_CALL: Final = re.compile(r"(?:\s|```|[\]},]|<(?:[|\uff5c/])[^<>]{0,80}>)*")
_ARGUMENT_ENDS: Final = ("</parameter>", "</arg_value>")
_NO_NAMES: Final = frozenset({"function", "json"})


def looks_like_call(opener: str, said: str, offered: Collection[str], *, is_closed: bool) -> bool:
    """Whether nothing but a call can be meant: JSON, parameters or the name of a tool follow the opening word.

    Where the closing word never came, a name alone does not tell: the text may go on to speak of the tool.
    """
    if not said.strip():
        return True
    text = opener + said[:HEAD_CHARS]
    found = _ARGUMENTS.search(text, len(opener))
    if found and len(_words(text[: found.start()])) <= (0 if _has_name(opener) else 1):
        return True
    named = SAID_NAME.search(text)
    if named is None or _words(text[: named.start()]):
        named = None if _has_name(opener) else _NAME.match(text)
    if named is None or tool_name(named[1], offered) not in offered:
        return False
    return is_closed or bool(_AFTER_NAME.match(text, named.end()))


def is_whole_json(opener: str, said: str) -> bool:
    """Whether a call has JSON that is whole, and nothing behind it."""
    found = _ARGUMENTS.search(opener + said, len(opener))
    if found is None or found[0][0] == "<":
        return False
    end = _end_of_json(opener + said, found.start())
    return end > 0 and not text_after_call(opener, said)


def text_after_call(opener: str, said: str) -> str:
    """What is said behind a call that no word closed; empty where the call has no end."""
    text = opener + said
    found = _ARGUMENTS.search(text, len(opener))
    if found is None:
        return ""
    if found[0][0] == "<":
        end = max(at + len(word) if (at := text.rfind(word)) >= 0 else -1 for word in _ARGUMENT_ENDS)
    else:
        end = _end_of_json(text, found.start())
    if end < 0:
        return ""
    passed = _AFTER_CALL.match(text, end)
    rest = text[passed.end() if passed else end :]
    # Several calls may follow one another.
    return "" if not rest or rest[0] in "{[<" else text[end:].lstrip("`]},")


def _end_of_json(text: str, at: int) -> int:
    try:
        return DECODER.raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        return -1


def _words(text: str) -> list[str]:
    return [word for word in _AROUND.sub(" ", text).split() if word not in _NO_NAMES]


def _has_name(opener: str) -> bool:
    """Whether the tool's name is a part of the opening word's tag."""
    return opener.endswith(("=", "("))
