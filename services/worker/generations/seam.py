"""The seam between what was said of an answer and what a model adds when it is asked to go on. Pure.

A model that goes on from a text of which it is given the beginning (prefill) makes no seam, unless it begins again. A
model that is only told to go on is asked to repeat the last words first. Many models do something else: they begin again,
repeat more, or say that they will go on. The overlap with what was said shows where the new words begin; the repetition is
never shown. Where no overlap shows that, and the words do not go on by themselves, the answer needs a fresh paragraph.
"""

import re
from typing import Final, Literal

ANCHOR_CHARS: Final = 60
"""The model is asked to repeat about so many characters of the end."""
FOUND_BY_CHARS: Final = 24
"""So many of them are enough to find the place again."""
MIN_ANCHOR_CHARS: Final = 12
"""Fewer may stand in any text, so they count at the very beginning only."""
WINDOW: Final = 400
"""Characters that may come before the anchor: the end of what was said, or a preamble."""
ENOUGH: Final = 16
"""Characters after which words that are no part of the end of what was said show that nothing is repeated."""
MIN_REPEATED: Final = 4
"""Characters of the shortest repetition that is no chance."""
MIN_BEGINNING: Final = 20
"""Characters of the shortest text that a model which was given it is believed to begin again."""
WORDS_TO_COMPARE: Final = 20
SHARE_OF_THE_SAME_LANGUAGE: Final = 0.15
"""The share of the new words that were said before. Less is another language."""
SHARE_OF_THE_SAME_THING: Final = 0.45
"""The share of the new long words that were said before. More is the same thing in other words."""
LONG_WORD: Final = 4
"""Letters. Shorter words are mostly those that any text of the language has."""

_PREAMBLE: Final = re.compile(r"\s*[^\W\d_a-z][^\n]{0,150}:[ \t]*\n\s*")
_SENTENCE_END: Final = re.compile(r"[.!?…。:;\uff01\uff1f\uff1a\uff1b][\"'”\u2019»)\]*_`]*\s*$|\n\s*$")
_SPACELESS: Final = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Scripts that put no spaces between words."""
_QUOTE_MARKS: Final = " \t\r\n\"'“”«»„…>*`"


def anchor_of(said: str) -> str:
    """The last words of what was said, which the model is asked to repeat: whole words where the script has spaces."""
    return _last_words(said, ANCHOR_CHARS)


def _last_words(said: str, chars: int) -> str:
    end = said.rstrip()
    tail = end[-chars:]
    if len(tail) < len(end):
        _, space, whole_words = tail.partition(" ")
        tail = whole_words if space and whole_words.strip() else tail
    return tail.strip()


class Seam:
    """Takes what the model says, piece by piece, and gives what is to be shown of it.

    `by_prefill`: the model was given the text to continue. Otherwise it was told to go on. Text is kept back until it is
    clear where the new words begin: at most for WINDOW characters, or for as long as the model repeats what was said.
    """

    def __init__(self, said: str, *, by_prefill: bool) -> None:
        self._is_fresh = False
        self._said = said
        self._by_prefill = by_prefill
        anchor = _last_words(said, FOUND_BY_CHARS)
        self._anchor = re.compile(r"\s+".join(re.escape(word) for word in anchor.split()))
        self._at_start_only = len(anchor) < MIN_ANCHOR_CHARS
        self._pending = ""
        self._is_decided = not anchor or (by_prefill and len(said.strip()) < MIN_BEGINNING)
        self._repeats = True  # all that came is a beginning of what was said
        self._compared = 0

    def add(self, text: str) -> str:
        """What is to be shown now: nothing while it is not clear."""
        if self._is_decided:
            return text
        self._pending += text
        return self._show(at_end=False)

    def end(self) -> str:
        """What is to be shown when nothing more comes."""
        return "" if self._is_decided else self._show(at_end=True)

    def take_fresh(self) -> bool:
        """Whether what is to be shown now does not go on from what was said, and needs a new paragraph. True only once."""
        is_fresh, self._is_fresh = self._is_fresh, False
        return is_fresh

    def _show(self, *, at_end: bool) -> str:
        shown = self._decide(at_end=at_end)
        if shown is None:
            return ""
        self._is_decided, self._pending = True, ""
        return shown

    def _decide(self, *, at_end: bool) -> str | None:
        """What is to be shown; None while that is not clear."""
        pending = self._pending
        # 1. The model begins again: nothing is shown until it is past what was said.
        if self._repeats and (rest := self._after_beginning()) is not None:
            return self._behind(rest)
        if self._by_prefill:
            return None if self._repeats and not at_end else self._unless_repeated(pending)

        # 2. The model repeats the last words, or more than these, perhaps after a preamble.
        if (rest := self._after_anchor(at_end=at_end)) is not None:
            return self._behind(rest)

        # 3. It is not clear yet.
        if not at_end and (self._repeats or self._may_be_end_of_said() or self._may_be_preamble()):
            return None

        # 4. The model goes on without a repetition, or it does not go on.
        return self._joined(pending)

    def _after_beginning(self) -> str | None:
        """What follows the whole of what was said; None when that was not repeated, or not yet."""
        pending, said = self._pending.lstrip(), self._said.strip()
        known = min(len(pending), len(said))
        self._repeats = pending[self._compared : known] == said[self._compared : known]
        self._compared = known
        return pending[len(said) :] if self._repeats and len(pending) > len(said) else None

    def _unless_repeated(self, pending: str) -> str:
        """A text that continues a prefill; nothing where it only repeats the prefill."""
        is_repetition = self._repeats and len(pending.strip()) >= MIN_BEGINNING
        return "" if is_repetition else pending

    def _after_anchor(self, *, at_end: bool) -> str | None:
        """What follows the last words of what was said; None when they were not repeated, or not yet."""
        start = len(self._pending) - len(self._pending.lstrip(_QUOTE_MARKS))
        found = self._anchor.match(self._pending, start) if self._at_start_only else self._anchor.search(self._pending)
        if found is None or (found.end() == len(self._pending) and not at_end):
            return None
        rest = self._pending[found.end() :]
        # The words may have been quoted.
        return rest[1:] if rest[:1] in set('"”»') and found.start() > 0 else rest

    def _may_be_end_of_said(self) -> bool:
        """Whether what is pending may be a part of the end of what was said, so that its repetition goes on."""
        pending = " ".join(self._pending.strip(_QUOTE_MARKS).split())
        return len(self._pending) < WINDOW and (
            len(pending) < ENOUGH or pending in " ".join(self._said[-2 * WINDOW :].split())
        )

    def _may_be_preamble(self) -> bool:
        """Whether what is pending may be words about the answer, after which the answer goes on."""
        is_known = not _SENTENCE_END.search(self._said) or len(_words(self._pending)) > WORDS_TO_COMPARE
        return len(self._pending) < WINDOW and not (is_known and self._goes_on(self._pending))

    def _joined(self, pending: str) -> str:
        """The text behind what was said, when the model repeated no anchor."""
        preamble = _PREAMBLE.match(pending)
        for text in (pending, *([pending[preamble.end() :]] if preamble else [])):
            if (overlap := self._overlap(text)) > 0:
                return self._behind(text[overlap:])
            if self._goes_on(text):
                return self._spaced(text)
        self._is_fresh = bool(pending.strip())
        return pending.lstrip()

    def _overlap(self, text: str) -> int:
        """How many characters at the beginning of the text are the last words of what was said."""
        said = self._said.rstrip()
        for length in range(min(len(text), len(said), ANCHOR_CHARS), MIN_REPEATED - 1, -1):
            is_word_border = (
                length == len(said) or not said[-length - 1].isalnum() or _kind(said[-length]) == "spaceless"
            )
            if is_word_border and said.endswith(text[:length]):
                return length
        return 0

    def _goes_on(self, text: str) -> bool:
        """Whether a text continues what was said by itself, as far as its form and its words tell."""
        first = text.lstrip()[:1]
        if not _SENTENCE_END.search(self._said):
            letters = [letter for letter in self._said[-WINDOW:] if letter.isalpha()]
            is_same_script = not first.isalpha() or not letters or _kind(first) == _kind(letters[-1])
            return bool(first) and is_same_script and not first.isupper()
        if self._said.endswith("\n") and not first.isalpha():
            return bool(first)  # a list, a table or a program
        words, said = _words(text)[:WORDS_TO_COMPARE], set(_words(self._said))
        is_same_language = _share(words, said) >= SHARE_OF_THE_SAME_LANGUAGE
        return is_same_language and _share([w for w in words if len(w) >= LONG_WORD], said) <= SHARE_OF_THE_SAME_THING

    def _behind(self, rest: str) -> str:
        """The rest of a repetition. The model has put the spaces itself; only those that were shown go."""
        if self._said.endswith("\n"):
            return rest.lstrip()
        return rest.lstrip(" ") if self._said[-1].isspace() else rest

    def _spaced(self, text: str) -> str:
        """A text that goes on without a repetition, with a space where words would run together."""
        last, first = self._said[-1], text[0]
        if last.isspace() or first.isspace():
            return self._behind(text)
        has_spaces = _kind(first) != "spaceless" and _kind(last) != "spaceless"
        is_new_word = first.isalnum() and (last.isalnum() or bool(_SENTENCE_END.search(self._said)))
        return f" {text}" if has_spaces and is_new_word else text


def _kind(letter: str) -> Literal["cased", "spaceless", "other"]:
    """What a letter's script is like."""
    if _SPACELESS.match(letter):
        return "spaceless"
    return "cased" if letter.lower() != letter.upper() else "other"


def _words(text: str) -> list[str]:
    """The words in lower case: names are the same in all languages, so they tell nothing."""
    return [word for word in re.findall(r"[^\W\d_]+", text) if word == word.lower()]


def _share(words: list[str], known: set[str]) -> float:
    """The share of the words that are known, from 0 to 1."""
    return sum(word in known for word in words) / max(1, len(words))
