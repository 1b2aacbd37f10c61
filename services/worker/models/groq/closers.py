"""Words that end what another word opened: where they stand in a text, and where one may be on its way."""

from collections.abc import Collection

from services.worker.models.groq.words import LONGEST


def find_closer(text: str, closers: Collection[str]) -> tuple[int, str]:
    """The first of the words in a text: its place and the word; the text's length and no word where there is none."""
    lower = _lower(text)
    found = [(at, closer) for closer in closers if (at := lower.find(closer)) >= 0]
    return min(found, default=(len(text), ""))


def find_unquoted_closer(text: str, closers: Collection[str], before: str) -> tuple[int, str]:
    """As `find_closer`, but words behind a backtick do not count. `before` is the character before the text, if any."""
    lower, best = _lower(text), (len(text), "")
    for closer in closers:
        at = lower.find(closer)
        while at >= 0 and (lower[at - 1] if at else before) == "`":
            at = lower.find(closer, at + 1)
        if 0 <= at < best[0]:
            best = at, closer
    return best


def begun_closer(text: str, closers: Collection[str]) -> int:
    """How many characters at the end of a text may begin one of the words."""
    end = _lower(text[-LONGEST:])
    firsts = {closer[0] for closer in closers}
    for at, character in enumerate(end):
        if character in firsts and any(closer.startswith(end[at:]) for closer in closers):
            return len(end) - at
    return 0


def _lower(text: str) -> str:
    """The text in small letters, each at its place. Some letters have small forms of two characters."""
    lower = text.lower()
    return lower if len(lower) == len(text) else text
