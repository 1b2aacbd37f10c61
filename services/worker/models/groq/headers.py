"""The headers of messages that some models write: a role, a channel, and whom the message is for."""

import re
from typing import Final

from services.worker.models.groq.words import ANALYSIS

MAX_HEADER_CHARS: Final = 120
_MAX_ROLE_CHARS: Final = len("developer")
_ROLE: Final = re.compile(r"\s*(?:assistant|user|system|tool|model|developer)\b[ \t]*\n?", re.IGNORECASE)
_RECIPIENT: Final = re.compile(r"to=([\w.:-]+)")
_PEOPLE: Final = frozenset({"assistant", "user", "all", "final"})
_COMMENTARY: Final = "commentary"
_ADDRESS: Final = "to="
_WORDS: Final = ("assistant", "user", "system", "tool", "model", "developer", ANALYSIS, _COMMENTARY, "final")
_FIRST_WORD: Final = re.compile(r"\w*")


def may_begin_header(text: str) -> bool:
    """Whether a header, or the beginning of a header, was cut off: `assistant to=`, `fin`, but not `finally`."""
    text = text.strip().lower()
    first = _FIRST_WORD.match(text)
    is_whole_word = first is not None and first[0] in _WORDS
    return is_whole_word or text.startswith(_ADDRESS) or any(name.startswith(text) for name in (*_WORDS, _ADDRESS))


def is_undecided(header: str, rest: str) -> bool:
    """Whether it shows only in what follows the header what the message is."""
    return is_commentary(header) and not rest.strip()


def is_commentary(header: str) -> bool:
    """Whether the message may be a call, or a text before one."""
    return _COMMENTARY in header


def recipient_of(header: str) -> str:
    """The tool that a message is for; empty where the message is for people."""
    found = _RECIPIENT.search(header)
    return found[1] if found and found[1] not in _PEOPLE else ""


def text_after_role(text: str) -> str | None:
    """The text behind a role, all of the text where it begins with none; None while a role may still be coming."""
    if len(text) <= _MAX_ROLE_CHARS and "\n" not in text.lstrip() and text.strip().isalpha():
        return None
    return _ROLE.sub("", text, count=1) if _ROLE.match(text) else text
