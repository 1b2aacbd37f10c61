"""Which passwords are common: those that guessing programs try first, whoever has made the account."""

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Final

from shared.visible_text import is_blank

MIN_PASSWORD: Final = 8
"""Characters. No new password has fewer."""
SHORTEST_WORD: Final = 3
"""Characters. What is shorter is no word that anybody tries with more around it."""
MAX_STEP: Final = 5
"""Between the code points of a run, as zxcvbn has it: `acegikmo` and `97531` are runs too."""
ROWS: Final = (
    *("qwertyuiop[]\\", "asdfghjkl;'", "zxcvbnm,./", "1234567890-="),
    *("qwertzuiopü", "asdfghjklöä", "yxcvbnm,.-"),
    *("azertyuiop", "qsdfghjklm", "wxcvbn,;:!"),
    *("йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю."),
    *("1q2w3e4r5t6y7u8i9o0p", "1qaz2wsx3edc4rfv5tgb6yhn7ujm", "qazwsxedcrfvtgbyhnujm"),
)
"""Of keyboards: English, German, French, Russian; and the ways from row to row that people go."""
ENDING: Final = re.compile(r"[!-/:-@\[-`{-~]?[0-9]{0,4}[!-/:-@\[-`{-~]?")
"""What people put behind a common password where they are made to: digits, with at most one mark before and one behind."""
LONGEST_ENDING: Final = 6


def is_common(typed: str) -> bool:
    """Whether a password of MIN_PASSWORD characters or more is one that is tried first.

    So is a word of the lists, one run, one short text again and again, each also with an ENDING; and what nobody sees.
    `typed` is in lower case and normalized. Bounded: at most 7 look-ups, and for each some passes over the text.
    """
    if is_blank(typed):
        return True
    cuts = (at for at in range(max(len(typed) - LONGEST_ENDING, SHORTEST_WORD), len(typed) + 1))
    return any(_is_tried(typed[:at]) for at in cuts if ENDING.fullmatch(typed, at))


@cache
def common_words() -> "array[int]":
    """The hashes, in order, of the words of zxcvbn's lists: 93,000 passwords of breaches, English words, and names.

    All lists are needed: each word stands only in the one in which it is the most frequent, so that `jennifer` is no word of the
    list of passwords. Only the lists' file is read: the package itself would rank them, which takes 0.2 s and 12 MB. Of the words
    only hashes are kept, 0.7 MB. Two words with one hash are nothing to reckon with: it has 64 bits.
    """
    return array("q", sorted({hash(word) for word in listed_words() if len(word) >= SHORTEST_WORD}))


def listed_words() -> Iterator[str]:
    """The words of all of zxcvbn's lists, in lower case."""
    for words in _frequency_lists().FREQUENCY_LISTS.values():
        yield from words


def _frequency_lists() -> ModuleType:
    """The file of zxcvbn's lists, without the package around it."""
    found = find_spec("zxcvbn")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("zxcvbn")
    file = Path(found.submodule_search_locations[0]) / "frequency_lists.py"
    spec = spec_from_file_location("zxcvbn_frequency_lists", file)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("zxcvbn.frequency_lists")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _is_tried(text: str) -> bool:
    """Whether a text of SHORTEST_WORD characters or more is a word of the lists, one run, or a short text again and again."""
    base = _base(text)
    return len(base) < min(len(text), MIN_PASSWORD) or _is_word(base) or _is_run(base)


def _base(text: str) -> str:
    """What a text says again and again, the last time perhaps not to its end; the text itself where it says nothing twice."""
    return next((text[:size] for size in range(1, len(text) // 2 + 1) if text.startswith(text[size:])), text)


def _is_word(text: str) -> bool:
    words, hashed = common_words(), hash(text)
    at = bisect_left(words, hashed)
    return at < len(words) and words[at] == hashed


def _is_run(text: str) -> bool:
    """Whether a text goes on and on by one step (`abcdefgh`, `97531`, `7890123`), or along a row of a keyboard."""
    if any(text in row or text in row[::-1] for row in ROWS):
        return True
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    if text.isdecimal():
        steps = {step % 10 for step in steps}
    return len(steps) == 1 and (text.isdecimal() or abs(steps.pop()) <= MAX_STEP)
