"""Excerpts: the part of a long message in which the asked terms stand. Pure."""

import unicodedata
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

from services.worker.look_up.terms import Term, terms_in
from shared.visible_text import ELLIPSIS

EXCERPT_CHARS: Final = 300
MARGIN: Final = 80
"""Characters in front of the first asked term, so that it stands in its sentence."""
MAX_SEARCHED_CHARS: Final = 20_000
"""Of a longer message only so much is looked through. An excerpt of what lies behind is its beginning."""
WHOLE_UNITS: Final = 1_000
"""Worths are counted in thousandths: a running sum of whole numbers stays exact."""


def excerpt(text: str, asked: Mapping[str, float]) -> str:
    """The part of a text with the most asked terms, by their worth; the whole text where it is short, else with ellipses.

    The result has at most about EXCERPT_CHARS characters, in NFC where the text is long. Line ends are kept.
    """
    text = text.strip()
    if len(text) <= EXCERPT_CHARS:
        return text
    # Places are counted in NFKC. In NFC a letter and its marks are one character too, so the same place is meant, but for
    # what compatibility forms stand in front: Unicode writes some of them out, and the place may then lie behind the end.
    text = unicodedata.normalize("NFC", text)
    begin = max(0, min(_best_place(text[:MAX_SEARCHED_CHARS], asked) - MARGIN, len(text) - EXCERPT_CHARS))
    if begin:
        space = text.find(" ", begin, begin + MARGIN // 2)
        begin = space + 1 if space >= 0 else begin
    end = begin + EXCERPT_CHARS
    if end < len(text):
        space = text.rfind(" ", end - MARGIN // 2, end)
        end = space if space >= 0 else end
    front, back = ELLIPSIS if begin else "", ELLIPSIS if end < len(text) else ""
    return f"{front}{text[begin:end]}{back}"


def _best_place(text: str, asked: Mapping[str, float]) -> int:
    """Where the stretch begins that has the asked terms of the most worth, each counted once: the first of equal ones."""
    worths = {term: round(worth * WHOLE_UNITS) for term, worth in asked.items()}
    stretch: deque[Term] = deque()
    inside: Counter[str] = Counter()
    worth = best = place = 0
    for term in terms_in(text):
        if term.text not in worths:
            continue
        stretch.append(term)
        inside[term.text] += 1
        if inside[term.text] == 1:
            worth += worths[term.text]
        while term.at - stretch[0].at > EXCERPT_CHARS - MARGIN:
            left = stretch.popleft()
            inside[left.text] -= 1
            if not inside[left.text]:
                worth -= worths[left.text]
        if worth > best:
            best, place = worth, stretch[0].at
    return place
