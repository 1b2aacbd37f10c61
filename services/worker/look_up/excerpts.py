"""Excerpts: the part of a long message in which the asked terms stand. Pure."""

from collections.abc import Mapping
from typing import Final

from services.worker.look_up.terms import Term, terms_in

EXCERPT_CHARS: Final = 300
MARGIN: Final = 80
"""Characters in front of the first asked term, so that it stands in its sentence."""
MAX_SEARCHED_CHARS: Final = 20_000
"""Of a longer message only so much is looked through. An excerpt of what lies behind is its beginning."""
ELLIPSIS: Final = "…"


def excerpt(text: str, asked: Mapping[str, float]) -> str:
    """The part of a text with the most asked terms, by their worth; the whole text where it is short, else with ellipses.

    The result has at most about EXCERPT_CHARS characters. Line ends are kept.
    """
    text = text.strip()
    if len(text) <= EXCERPT_CHARS:
        return text
    # The place may lie behind the end, where Unicode has characters that it writes out.
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
    """Where the stretch begins that has the asked terms of the most worth, each counted once."""
    hits = [term for term in terms_in(text) if term.text in asked]
    best, place = -1.0, 0
    for first, hit in enumerate(hits):
        inside: list[Term] = []
        for other in hits[first:]:
            if other.at - hit.at > EXCERPT_CHARS - MARGIN:
                break
            inside.append(other)
        worth = sum(asked[word] for word in {term.text for term in inside})
        if worth > best:
            best, place = worth, hit.at
    return place
