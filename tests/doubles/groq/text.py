"""What the double says: numbered tokens, so that a reader can check that each came once and in order."""

import time
from collections.abc import Iterator, Sequence
from itertools import accumulate, product
from typing import Final

from tests.doubles.groq.directives import Behaviour

DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
THREE_DIGITS: Final = tuple("".join(digits) for digits in product(DIGITS, repeat=3))
"""The numbers below 36³, so that a stamp is four look-ups: it is made for each token."""
SPECIALS: Final = (
    "first line\nsecond line\n\n",
    "data: not an event\n\n",
    "event: error\nid: 7\nretry: 1\n: no comment\n",
    "data: [DONE]\n\n",
    "carriage\rreturn\r\n\r\n",
    "separators \u2028 \u2029 \x85 \x0b \x0c \x1e ",
    "emoji \U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 ",
    "combining e\u0301 right-to-left \u202eabc\u202c ",
    '"quotes" \\backslashes\\ </script> {"type":"finish"} ',
    "nul \x00 bell \x07 ",
    "lone \ud83d surrogates \ude00 ",
    "end",
)


def now_stamp() -> str:
    """Return time.time_ns() in base 36; always 12 characters until the year 2120."""
    high, low = divmod(time.time_ns(), len(THREE_DIGITS) ** 2)
    first, second = divmod(high, len(THREE_DIGITS))
    third, fourth = divmod(low, len(THREE_DIGITS))
    return THREE_DIGITS[first] + THREE_DIGITS[second] + THREE_DIGITS[third] + THREE_DIGITS[fourth]


def token(number: int, *, stamp: bool) -> str:
    """Return one numbered token, with the space that ends it."""
    return f"t{number}@{now_stamp()} " if stamp else f"t{number} "


PREAMBLE: Final = "Sure, here is the rest of the answer:\n\n"
PARAPHRASE: Final = "In other words, the tokens are counted one after another, from the first to the last. " + " ".join(
    f"Then number {number} of them follows." for number in range(12)
)
"""Longer than a model's words may wait before they are shown."""
ANOTHER_LANGUAGE: Final = "Die Marken werden der Reihe nach gezählt, von der ersten bis zur letzten."


def gone_on(behaviour: Behaviour, said: str, last_words: str, reply: str | None) -> Iterator[str]:
    """Yield what a model says that was told to go on behind `said`, beginning with its last words."""
    rest = answer(behaviour, said, reply)
    match behaviour.seam:
        case "well":
            yield last_words + (" " if said[-1:].isspace() else "")
            yield from rest
        case "on":
            yield from rest
        case "again":
            yield from answer(behaviour, "", reply)
        case "sentence":
            yield said[said.find(" ", len(said) // 2) + 1 :]
            yield from rest
        case "preamble":
            yield PREAMBLE
            yield from rest
        case "paraphrase":
            yield PARAPHRASE
        case "language":
            yield ANOTHER_LANGUAGE
        case "done":
            yield last_words
        case "nothing":
            return


def answer(behaviour: Behaviour, prefill: str, reply: str | None) -> Iterator[str]:
    """Yield the tokens of the answer that follow the prefill.

    A prefill that this answer does not begin with is left alone, and the whole answer follows it.
    """
    if reply is not None:
        yield from rest_of([word + " " for word in reply.split(" ")[:-1]] + [reply.split(" ")[-1]], prefill)
    elif behaviour.text == "specials":
        yield from rest_of(SPECIALS, prefill)
    else:
        yield from numbered(behaviour.tokens, prefill, stamp=behaviour.stamp)


def numbered(count: int, prefill: str, *, stamp: bool) -> Iterator[str]:
    """Yield what is missing of `t1 t2 … t<count> `; a token that the prefill cut is completed first.

    A prefill may begin with the paragraph's break that separates an answer from what was said before a tool call.
    """
    said, completion = _already_said(prefill.lstrip("\n"), stamp=stamp)
    if completion and said < count:
        yield completion
        said += 1
    for number in range(said + 1, count + 1):
        yield token(number, stamp=stamp)


def rest_of(pieces: Sequence[str], prefill: str) -> Iterator[str]:
    """Yield the pieces that follow the prefill; a piece that it cut is completed."""
    said = len(prefill) if "".join(pieces).startswith(prefill) else 0
    for piece, end in zip(pieces, accumulate(map(len, pieces)), strict=True):
        if end > said:
            yield piece[max(0, said - end + len(piece)) :]


def _already_said(prefill: str, *, stamp: bool) -> tuple[int, str]:
    """Return how many whole tokens a prefill has, and what completes its cut last token (empty when none is cut)."""
    *whole, partial = prefill.split(" ")
    for number, word in enumerate(whole, 1):
        if word.partition("@")[0] != f"t{number}":
            return 0, ""
    if not partial:
        return len(whole), ""
    following = token(len(whole) + 1, stamp=stamp)
    named = partial.startswith(following.partition("@")[0] + "@") and len(partial) < len(following)
    if not (following.startswith(partial) or (stamp and named)):
        return 0, ""
    # Of a cut stamp the first digits are kept and the others are those of now: nearly the time, and well formed.
    return len(whole), following[len(partial) :]
