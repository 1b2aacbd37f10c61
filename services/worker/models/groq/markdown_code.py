"""Markdown's code in a text that comes in pieces. Nothing in code is markup."""

import re
from typing import Final

FENCE: Final = 3
"""Backticks."""
TAIL_CHARS: Final = 80
"""So much of the text before is looked at, to tell where a word stands."""
_CODE_MARK: Final = re.compile("`+|\n")
_BACKTICKS: Final = re.compile("`+")


class MarkdownCode:
    """Follows the code of one text: spans in a line, and fenced blocks. `before` is the text's beginning."""

    def __init__(self, before: str = "") -> None:
        self._ticks = 0
        self._is_fence = False
        if before:
            self._follow(before)

    @property
    def is_open(self) -> bool:
        """Whether the text is in code."""
        return bool(self._ticks)

    def open(self, line: str, ticks: int) -> None:
        """Begin code with so many backticks. `line` is the beginning of their line."""
        self._is_fence = ticks >= FENCE and not line.strip(" \t>-*0123456789.")
        self._ticks = ticks

    def find_end(self, text: str, at: int, tail: str, *, is_ending: bool) -> int:
        """Where the code ends; the text's length when the code goes on, -1 when more has to come to know.

        `tail` is the end of the text before this one. With `is_ending` nothing more comes.
        """
        for found in _CODE_MARK.finditer(text, at):
            if found[0] == "\n":
                if not self._is_fence:
                    self._ticks = 0
                    return found.end()
                continue
            if found.end() == len(text) and not is_ending:
                return -1
            ticks = len(found[0])
            if self._is_fence:
                is_end = ticks >= self._ticks and not line_before(text, found.start(), tail).strip()
            else:
                is_end = ticks == self._ticks
            if is_end:
                self._ticks = 0
                return found.end()
        return len(text)

    def _follow(self, before: str) -> None:
        at, before = 0, before + "\0"  # so that backticks at the end have an end
        while True:
            if self._ticks:
                at = self.find_end(before, at, "", is_ending=False)
                if at >= len(before) - 1:
                    return
            found = _BACKTICKS.search(before, at)
            if found is None:
                return
            self.open(line_before(before, found.start(), ""), len(found[0]))
            at = found.end()


def line_before(text: str, at: int, tail: str) -> str:
    """The beginning of a place's line, TAIL_CHARS or a few more at most. `tail` is the end of the text before."""
    line = text[max(0, at - TAIL_CHARS) : at]
    if at < TAIL_CHARS:
        line = tail + line
    return line.rpartition("\n")[2]
