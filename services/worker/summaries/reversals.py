"""Sentences by which a user says that something is no longer as it was, found without a model. Pure.

Nobody but a model understands what such a sentence changes: "Let's take the hotel instead" shares no word with what it takes
back. But it can be seen that it changes something, and so it is told beside what was said before. The rule may be broad: a
sentence that is taken for a reversal in error is told, no more.
"""

import re
from functools import cache
from typing import Final

from services.worker.summaries.distinctive import one_line, sentences_in
from services.worker.summaries.reversal_words import SCRIPTS, WORDS

LONGEST: Final = 160
"""Characters. A longer sentence tells, argues or quotes."""
LEAST: Final = 4
SENTENCES: Final = 20
"""Of a message, so many sentences are looked at."""
MOST: Final = 3
"""Of a message, so many reversals are kept. One with more is a text about something else."""
_LATIN: Final = "a-z"
_QUESTION: Final = re.compile(r"[?\uff1f\u061f;]\W*$|^\W*[¿]|อะไร|ไหม|吗\W*$|嗎\W*$|呢\W*$")
"""A question changes nothing yet. Some scripts ask without a mark."""


def reversals_in(text: str) -> list[str]:
    """The short sentences of a text that say that something changes, on one line each; none of a text that is full of them."""
    found = list[str]()
    for number, (begin, end) in enumerate(sentences_in(text)):
        if number == SENTENCES:
            break
        if is_reversal(text[begin:end]):
            found.append(one_line(text[begin:end]))
    return found if len(found) <= MOST else []


def is_reversal(sentence: str) -> bool:
    """Whether a sentence says that something is no longer as it was. No question does, and no long sentence."""
    return LEAST <= len(sentence) <= LONGEST and _QUESTION.search(sentence) is None and _has_reversal_words(sentence)


def _has_reversal_words(sentence: str) -> bool:
    return any(letter.search(sentence) and words.search(sentence) for letter, words in _by_script())


@cache
def _by_script() -> list[tuple[re.Pattern[str], re.Pattern[str]]]:
    """Pairs of what finds a letter of a script, and what finds words of one of the languages with these letters.

    Made when they are first needed: 34 languages take a fifth of a second.
    """
    words: dict[str, list[str]] = {}
    for language, pattern in WORDS.items():
        words.setdefault(SCRIPTS.get(language, _LATIN), []).append(f"(?:{pattern})")
    return [
        (re.compile(f"[{letters}]", re.IGNORECASE), re.compile("|".join(found), re.IGNORECASE))
        for letters, found in words.items()
    ]
