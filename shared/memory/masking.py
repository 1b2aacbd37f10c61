"""Masking: what the user took back is told no more, in whatever form a text has it. Pure."""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import regex

FORGOTTEN: Final = "[forgotten]"
LEAST_MASKED: Final = 2
"""A shorter value is not masked: it stands in too many texts."""
CACHED_CHARS: Final = 1_000
"""The letters of a longer text are not cached."""

# Scripts that write spaces between words. In others a word's end can't be seen.
_WORD_EDGE: Final = regex.compile(r"[\p{Latin}\p{Cyrillic}\p{Greek}\p{Armenian}\p{Hebrew}\p{Arabic}\d]")
_NO_LETTER: Final = regex.compile(r"[^\p{L}\p{M}\p{N}]+")
_PIECE: Final = regex.compile(r"(?P<number>\d(?:[\d.,'\s-]*\d)?)|(?P<space>\s+)|(?P<other>.)", regex.S)
_BETWEEN_DIGITS: Final = r"[.,'\s-]?"


class Mask:
    """Masks the values that a user took back. Made once for many texts.

    A value is found as whole words, in upper or lower case, across line ends, and with its numbers written in another way:
    12,500 as 12500.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Iterable[str] = ()) -> None:
        kept = {_composed(value).strip() for value in values}
        found = [(value, _letters_of_value(value)) for value in kept if len(value) >= LEAST_MASKED]
        self._values = sorted(found, key=lambda one: (-len(one[0]), one[0]))

    def __call__(self, text: str) -> str:
        """The text without the values."""
        if not self._values:
            return text
        # Most values stand in no text, and that is seen without their patterns.
        letters = _letters(text)
        for value, wanted in self._values:
            if wanted in letters:  # also a value that is no word, such as emoji
                text = _pattern(value).sub(FORGOTTEN, _composed(text))
        return text


def says(text: str, value: str) -> bool:
    """Whether a text has a value, as `Mask` finds it. Every text has an empty value."""
    if not value:
        return True
    letters = _letters_of_value(text) if len(text) <= CACHED_CHARS else _letters(text)
    return _letters_of_value(value) in letters and _pattern(_composed(value)).search(_composed(text)) is not None


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


@lru_cache(maxsize=2_048)
def _letters_of_value(value: str) -> str:
    """As `_letters`, for the short texts that are looked for."""
    return _letters(value)


def _letters(text: str) -> str:
    """The letters and digits of a text alone, without case."""
    return _NO_LETTER.sub("", _composed(text).casefold())


@lru_cache(maxsize=1_024)
def _pattern(value: str) -> regex.Pattern[str]:
    pieces = list[str]()
    for found in _PIECE.finditer(value.strip()):
        if found["number"]:
            pieces.append(_BETWEEN_DIGITS.join(character for character in found[0] if character.isdecimal()))
        else:
            pieces.append(r"\s+" if found["space"] else regex.escape(found[0]))
    front = f"(?<!{_WORD_EDGE.pattern})" if _WORD_EDGE.match(value) else ""
    behind = f"(?!{_WORD_EDGE.pattern})" if _WORD_EDGE.match(value[-1:]) else ""
    return regex.compile(f"{front}{''.join(pieces)}{behind}", regex.I)
