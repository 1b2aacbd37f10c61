"""The seam between what was said of an answer and what a model adds when it is asked to go on. Pure.

A model that goes on from a text of which it is given the beginning (prefill) makes no seam, unless it begins again. A
model that is only told to go on is asked to repeat the last words first. Many models do something else: they begin again,
repeat more, or say that they will go on. The overlap with what was said shows where the new words begin; the repetition is
never shown. Where no overlap shows that, and the words do not go on by themselves, the answer needs a new paragraph.
"""

import re
from typing import Final, Literal

from shared.visible_text import is_blank

ANCHOR_CHARS: Final = 60
"""The model is asked to repeat about so many characters of the end."""
MIN_REPEATED: Final = 4
"""Characters of the shortest repetition that may end within a word. A shorter one is a whole word."""
MIN_BEHIND_PREAMBLE: Final = 24
"""Characters of the shortest repetition that is no chance where other words stand before it."""
MIN_BEGINNING: Final = 20
"""Characters. A shorter text is too short to tell that a model began it again."""
NEAR_BEGINNING: Final = 200
"""A model that begins again may leave out so many characters, as its "Sure!"."""
WINDOW: Final = 400
"""Characters for which text waits that may be a preamble."""
ENOUGH: Final = 16
"""After so many characters, words that are not in the old text show that nothing is repeated."""
LOOK_AGAIN_AFTER: Final = 600
"""A longer repetition is looked at each time it has grown by a twentieth, so that its end is found in little time."""
WORDS_TO_COMPARE: Final = 20
SHARE_OF_THE_SAME_LANGUAGE: Final = 0.15
"""The share of the new words that were said before. Less is another language."""
SHARE_OF_THE_SAME_THING: Final = 0.45
"""The share of the new long words that were said before. More is the same thing in other words."""
LONG_WORD: Final = 4
"""Letters. Shorter words are mostly those that any text of the language has."""
MAX_PREAMBLE: Final = 200
"""Characters of the longest preamble."""

_PREAMBLE: Final = re.compile(r"\s*[*_#>]{0,3}\s*[^\W\d_a-z]")
"""How a preamble begins: with a capital letter, perhaps marked."""
_ANNOUNCEMENT: Final = re.compile(
    r"(?:sure|ok|okay|of course|certainly|absolutely|continuing|here(?:['\u2019]s| is| are)"
    r"|(?:let me|i(?:['\u2019]ll| will)) continue)"
    r"\b[^\n]{0,180}:",
    re.IGNORECASE,
)
"""One line that only says that something follows. Other lines that end with a colon may be what the answer says."""
_PREAMBLE_END: Final = re.compile(r"(?:[:!…][*_\"'“”„«»]{0,3}(?P<gap>\s+)|\s[\"'“„«])[>*_…\s]*")
_SENTENCE_END: Final = re.compile(r"[.!?…。:;\uff01\uff1f\uff1a\uff1b][\"'”\u2019»)\]*_`]*\s*$|\n\s*$")
_SPACELESS: Final = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Scripts that put no spaces between words."""
_QUOTE_MARKS: Final = " \t\r\n\"'“”«»„…>*`"
_SPACES: Final = re.compile(r"\s+")


def anchor_of(said: str) -> str:
    """The last words of what was said, which the model is asked to repeat: whole words where the script has spaces."""
    end = said.rstrip()
    tail = end[-ANCHOR_CHARS:]
    if len(tail) < len(end):
        _, space, whole_words = tail.partition(" ")
        tail = whole_words if space and whole_words.strip() else tail
    return tail.strip()


class Seam:
    """Takes what the model says, piece by piece, and gives what is to be shown of it.

    `by_prefill`: the model was given the text to continue. Otherwise it was told to go on. Text waits until it is
    clear where the new words begin: at most for WINDOW characters, or for as long as the model repeats what was said.
    `before_call`: the text stood before a tool call that failed. If it is whole sentences, what follows is a new paragraph.
    """

    def __init__(self, said: str, *, by_prefill: bool, before_call: bool = False) -> None:
        self._said = said
        self._old = _SPACES.sub(" ", said.strip())
        self._ends_sentence = _SENTENCE_END.search(said[-WINDOW:]) is not None
        self._old_words = frozenset(_words(said))
        self._by_prefill = by_prefill
        self._pending = ""
        self._looked_at = 0
        self._is_decided = not self._old or (by_prefill and len(self._old) < MIN_BEGINNING)
        self._needs_paragraph = False
        self._needs_gap = before_call and self._ends_sentence and not said[-1:].isspace()

    def add(self, text: str) -> str:
        """What is to be shown now: nothing while it is not clear."""
        if self._is_decided:
            return self._apart(text)
        self._pending += text
        if len(self._pending) > LOOK_AGAIN_AFTER and len(self._pending) < self._looked_at * 1.05:
            return ""
        self._looked_at = len(self._pending)
        return self._apart(self._show(at_end=False))

    def end(self, *, is_whole: bool = False) -> str:
        """What is to be shown when nothing more comes. `is_whole`: the model has ended its answer, and calls no tool."""
        if (
            not self._is_decided
            and is_whole
            and not self._by_prefill
            and _ANNOUNCEMENT.fullmatch(self._pending.strip())
        ):
            self._is_decided, self._pending = True, ""  # all of the answer was said already
        return "" if self._is_decided else self._apart(self._show(at_end=True))

    def _apart(self, text: str) -> str:
        """What is to be shown, with a blank line before the first of it where it needs one."""
        if not self._needs_gap or not text:
            return text
        self._needs_gap = False
        return text if text[0].isspace() else f"\n\n{text}"

    def take_new_paragraph(self) -> bool:
        """Whether what is to be shown now does not go on from what was said, and needs a new paragraph. True only once."""
        is_new, self._needs_paragraph = self._needs_paragraph, False
        return is_new

    def _show(self, *, at_end: bool) -> str:
        shown = self._decide(at_end=at_end)
        if shown is None:
            return ""
        self._is_decided, self._pending = True, ""
        return shown

    def _decide(self, *, at_end: bool) -> str | None:
        """What is to be shown; None while that is not clear."""
        # 1. The model repeats the end of what was said, or all of it: what follows the repetition is shown.
        may_repeat = False
        for start, shortest in self._starts():
            repeated, may_go_on = self._repetition(self._pending[start:], shortest, at_end=at_end)
            if repeated is not None:
                return self._behind(self._without_quote(start, repeated))
            may_repeat = may_repeat or may_go_on
        if not at_end and may_repeat:
            return None

        # 2. The model goes on without a repetition, or it does not go on.
        if self._by_prefill:
            return self._pending
        if not at_end and (len(self._pending.strip()) < ENOUGH or self._may_be_preamble()):
            return None
        return self._joined(self._pending)

    def _starts(self) -> list[tuple[int, int]]:
        """Where a repetition may begin in what is pending, each with the length of the shortest that counts there."""
        first = len(self._pending) - len(self._pending.lstrip(_QUOTE_MARKS))
        if self._by_prefill:
            return [(first, MIN_BEGINNING)]
        return [(first, MIN_REPEATED), *self._preamble_ends()]

    def _preamble_ends(self) -> list[tuple[int, int]]:
        """Where a preamble may end, as `_starts`. A preamble is one line, and ends with a colon, a mark or a quotation."""
        if not _PREAMBLE.match(self._pending):
            return []
        ends = list[tuple[int, int]]()
        for found in _PREAMBLE_END.finditer(self._pending[:MAX_PREAMBLE]):
            if "\n" in self._pending[: found.start()].strip():
                break
            is_line = "\n" in (found["gap"] or "")
            ends.append((found.end(), MIN_REPEATED if is_line else min(MIN_BEHIND_PREAMBLE, len(self._old))))
        return ends

    def _repetition(self, text: str, shortest: int, *, at_end: bool) -> tuple[str | None, bool]:
        """What follows in `text` the end of what was said, with which it begins; None where it does not begin so.

        Also returns whether `text` may still become a repetition: so far, it is a part of what was said.
        """
        new = _SPACES.sub(" ", text)
        if not new.strip():
            return None, True
        may_go_on = False
        at = self._old.find(new[:shortest])
        while at >= 0 and not (self._by_prefill and at > NEAR_BEGINNING):
            length = len(self._old) - at
            if self._is_word_border(at) and length >= shortest:
                if len(new) > length or at_end:
                    if new[:length] == self._old[at:] or (at_end and new.rstrip() == self._old[at:]):
                        return _after(text, length), False
                elif self._old.startswith(new, at):
                    may_go_on = True
            at = self._old.find(new[:shortest], at + 1)
        if shortest == MIN_REPEATED and (length := self._last_word_again(new)):
            return _after(text, length), False
        return None, may_go_on

    def _last_word_again(self, new: str) -> int:
        """The length of the last word of what was said, where that is short, and `new` begins with it as a whole word."""
        for length in range(1, min(MIN_REPEATED, len(self._old) + 1)):
            is_end = self._old.endswith(new[:length]) and self._is_word_border(len(self._old) - length)
            is_word = (
                new[:length].isalnum() and _kind(new[0]) != "spaceless" and new[length : length + 1].strip()[:1] == ""
            )
            if is_end and is_word and len(new) > length:
                return length
        return 0

    def _is_word_border(self, at: int) -> bool:
        return not at or not self._old[at - 1].isalnum() or _kind(self._old[at]) == "spaceless"

    def _without_quote(self, start: int, rest: str) -> str:
        """The rest without the mark that ends a quotation of the last words."""
        was_quoted = self._pending[:start].rstrip()[-1:] in set("\"'“„«")
        return rest[1:] if was_quoted and rest[:1] in set("\"'”»“") else rest

    def _may_be_preamble(self) -> bool:
        """Whether what is pending may be words about the answer, after which the answer goes on."""
        is_known = not self._ends_sentence or len(_words(self._pending)) > WORDS_TO_COMPARE
        return len(self._pending) < WINDOW and not (is_known and self._goes_on(self._pending))

    def _joined(self, text: str) -> str:
        """The text behind what was said, when the model repeated nothing."""
        behind_lines = [text[end:] for end, shortest in self._preamble_ends() if shortest == MIN_REPEATED]
        for candidate in (text, *behind_lines):
            if self._goes_on(candidate):
                return self._spaced(candidate)
        self._needs_paragraph = not is_blank(text)
        return text.lstrip()

    def _goes_on(self, text: str) -> bool:
        """Whether a text continues what was said by itself, as far as its form and its words tell."""
        first = text.lstrip()[:1]
        if not self._ends_sentence:
            letters = [letter for letter in self._said[-WINDOW:] if letter.isalpha()]
            is_same_script = not first.isalpha() or not letters or _kind(first) == _kind(letters[-1])
            return bool(first) and is_same_script and not first.isupper()
        if self._said.endswith("\n") and not first.isalpha():
            return bool(first)  # a list, a table or a program
        words = _words(text)[:WORDS_TO_COMPARE]
        is_same_language = _share(words, self._old_words) >= SHARE_OF_THE_SAME_LANGUAGE
        return (
            is_same_language
            and _share([w for w in words if len(w) >= LONG_WORD], self._old_words) <= SHARE_OF_THE_SAME_THING
        )

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
        is_new_word = first.isalnum() and (last.isalnum() or self._ends_sentence)
        return f" {text}" if has_spaces and is_new_word else text


def _after(text: str, length: int) -> str:
    """What follows the first `length` characters of the text, where runs of spaces count as one character."""
    counted = at = 0
    while at < len(text) and counted < length:
        spaces = _SPACES.match(text, at)
        at = spaces.end() if spaces else at + 1
        counted += 1
    return text[at:]


def _kind(letter: str) -> Literal["cased", "spaceless", "other"]:
    """What a letter's script is like."""
    if _SPACELESS.match(letter):
        return "spaceless"
    return "cased" if letter.lower() != letter.upper() else "other"


def _words(text: str) -> list[str]:
    """The words in lower case: names are the same in all languages, so they tell nothing."""
    return [word for word in re.findall(r"[^\W\d_]+", text) if word == word.lower()]


def _share(words: list[str], known: frozenset[str]) -> float:
    """The share of the words that are known, from 0 to 1."""
    return sum(word in known for word in words) / max(1, len(words))
