"""Whether an answer speaks of a word of markup, or means the word. An answer may be about these very words."""

import re
from typing import Final

from services.worker.models.groq.markdown_code import TAIL_CHARS, line_before
from services.worker.models.groq.words import BEGINNINGS, LONGEST, TALK_AFTER, TALK_BEFORE, WORDS, Kind

CODE_INDENT: Final = 4
MAX_STRUCK_CHARS: Final = 120
"""Where an answer begins with `<s>`, so many characters are waited for: a closing word among them makes it HTML."""
MAX_OPENED_CALLS: Final = 64
"""An answer that opens more calls than this speaks of them, or has no end. Each one that was none is read once more."""
_STRUCK: Final = re.compile(rf"[^\n]{{1,{MAX_STRUCK_CHARS}}}?</s>", re.IGNORECASE)
_SENTENCE_ENDS: Final = frozenset(".!?…>")


class Talk:
    """Knows what one answer has said so far, as far as that tells how a word is meant.

    `before` is the text that the model continues. `tail` is the end of the text so far, `is_blank` tells that nothing
    but space has been said, and `opened_calls` how many words were obeyed that open calls.
    """

    def __init__(self, before: str) -> None:
        self.is_continued = bool(before)
        self.is_blank = True
        self.tail = before[-TAIL_CHARS:]
        self.has_talked_of_calls = False
        self.opened_calls = 0
        self._has_talked = False
        self._struck = before.lower().count("<s>") - before.lower().count("</s>")

    @property
    def is_at_beginning(self) -> bool:
        """Whether nothing but space has been said, and no text is continued."""
        return self.is_blank and not self.is_continued

    def add(self, text: str) -> None:
        """Note what was said."""
        self.is_blank = self.is_blank and not text.strip()
        self.tail = (self.tail + text)[-TAIL_CHARS:]

    def line_before(self, text: str, at: int) -> str:
        """The beginning of a place's line, as far as it is known."""
        return line_before(text, at, self.tail)

    def is_undecided(self, text: str, word: re.Match[str], kind: Kind) -> bool:
        """Whether what follows the word decides, and has not come yet."""
        after = text[word.end() :]
        if kind is Kind.FIRST and self._is_first(text, word.start()):
            struck = _STRUCK.match(after)
            if struck is None:
                return len(after) < MAX_STRUCK_CHARS + len("</s>") and "\n" not in after
            after = after[struck.end() :]
            return not after.strip() or after.lstrip().lower()[:LONGEST] in BEGINNINGS
        if kind is Kind.LAST:
            return not after.strip() or after.lstrip().lower()[:LONGEST] in BEGINNINGS
        return not after and not (kind is Kind.OPEN and self._is_boundary(text, word.start()))

    def is_talk(self, text: str, word: re.Match[str], kind: Kind) -> bool:
        """Whether the answer speaks of this word instead of meaning it."""
        is_talk = self._is_talk(text, word, kind)
        self._has_talked = self._has_talked or is_talk
        return is_talk

    def _is_talk(self, text: str, word: re.Match[str], kind: Kind) -> bool:  # noqa: PLR0911 - one table of cases
        at = word.start()
        before = text[at - 1] if at else self.tail[-1:]
        after = text[word.end() : word.end() + 1]
        if kind is Kind.LAST:
            self._struck -= 1
            return self._struck >= 0 or not _is_end(text[word.end() :])
        is_first = self.is_blank and not text[:at].strip()
        if kind is Kind.FIRST:
            struck = _STRUCK.match(text, word.end())
            is_html = not self._is_first(text, at) or (struck is not None and not _is_end(text[struck.end() :]))
            self._struck = max(0, self._struck) + is_html
            return is_html
        if kind is Kind.CALL and self.opened_calls >= MAX_OPENED_CALLS:
            return True
        if kind is Kind.CALL and word[0].endswith(("=", "(")):
            return not (after.isalnum() or after in "\"'_")
        if kind is Kind.DROP and self.has_talked_of_calls and word[0].startswith("</"):
            return True
        if kind is Kind.CLOSE and self._has_talked:
            return True
        if kind is Kind.OPEN and self._is_boundary(text, at):
            return False
        line = self.line_before(text, at)
        is_line_start = not line.strip()
        if is_line_start and (len(line) >= CODE_INDENT or is_first or kind is Kind.CALL):
            return len(line) >= CODE_INDENT
        if kind is Kind.CLOSE and not self._is_boundary(text, at) and before in TALK_BEFORE and after in {"", "\n"}:
            return True  # a sentence may end in the word
        return (before in TALK_BEFORE or (is_line_start and kind is Kind.DROP)) and after in TALK_AFTER and bool(after)

    def _is_boundary(self, text: str, at: int) -> bool:
        """Whether the answer, a line or a sentence begins here."""
        line = self.line_before(text, at)
        if not line.strip():
            return len(line) < CODE_INDENT
        return line.rstrip()[-1] in _SENTENCE_ENDS

    def _is_first(self, text: str, at: int) -> bool:
        """Whether the answer begins here."""
        return self.is_at_beginning and not text[:at].strip()


def _is_end(text: str) -> bool:
    """Whether nothing but control tokens follows, as far as is known."""
    return not text.strip() or WORDS.match(text.lstrip()) is not None
