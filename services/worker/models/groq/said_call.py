"""A call that a model says in its text, while it comes, and what it turns out to be."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from services.worker.models.groq.call_likeness import HEAD_CHARS, is_whole_json, looks_like_call, text_after_call
from services.worker.models.groq.calls import said_calls

MAX_CALL_CHARS: Final = 20_000
ADDRESSED: Final = "to="
"""A message of gpt-oss that begins so is for a tool, whatever it holds."""
_OBJECT_OPENINGS: Final = (
    '{"name":', '{"tool_name":', '{"tool":', '{"function":', '[{"name":', '{"type":"function","name":',
    '{"type":"function","function":{"name":', '{"function":{"name":', '{"tool_calls":[{"name":',
)  # fmt: skip
_MAX_OPENING_CHARS: Final = 400


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a call that is over turned out to be.

    `is_text`: it was none, and has to be shown. `calls`: the tools' names with the arguments. `rest`: the text behind it.
    """

    is_text: bool = False
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    rest: str = ""


class SaidCall:
    """Collects what may be a call. `opener` is the word that opened it, `closers` are those that end it."""

    def __init__(self, opener: str, closers: tuple[str, ...], offered: Collection[str]) -> None:
        self.opener = opener
        self.closers = closers
        self._offered = offered
        self._is_addressed = opener.startswith(ADDRESSED)
        self._is_call_like = self._is_addressed
        self._said: list[str] = []
        self._chars = 0

    @property
    def said(self) -> str:
        """What came behind the opening word; its beginning where that is too long to be a call."""
        return "".join(self._said)

    @property
    def is_too_long(self) -> bool:
        """Whether no call is so long."""
        return self._chars > MAX_CALL_CHARS

    def add(self, text: str) -> None:
        """Take more of it."""
        if not self.is_too_long:
            self._said.append(text)
        self._chars += len(text)

    def may_be_call(self, more: str) -> bool:
        """Whether it may still become a call, or one that is dropped, with this added."""
        chars = self._chars + len(more)
        if not self._is_call_like and chars > HEAD_CHARS:
            head = (self.said + more)[:HEAD_CHARS]
            self._is_call_like = looks_like_call(self.opener, head, self._offered, is_closed=False)
            if not self._is_call_like:
                return False
        return chars <= MAX_CALL_CHARS or bool(self._offered) or self._is_addressed

    def end(self, *, is_closed: bool) -> Verdict:
        """Tell what it was, once its closing word or the end of the answer has come.

        What only looks like a call is dropped: with tools, or where it is whole. Anything else is text.
        """
        opener, said = self.opener, self.said
        looks = self._is_call_like or looks_like_call(opener, said, self._offered, is_closed=is_closed)
        calls: tuple[tuple[str, dict[str, Any]], ...] = ()
        if not self.is_too_long and (looks or is_closed):
            calls = tuple(said_calls(opener + said, self._offered))
        is_dropped = looks if self._offered else is_closed and is_whole_json(opener, said)
        if not calls and not is_dropped and not self._is_addressed:
            return Verdict(is_text=True)
        return Verdict(calls=calls, rest="" if is_closed or calls else text_after_call(opener, said))


def opens_object_call(text: str, offered: Collection[str]) -> bool | None:
    """Whether a text begins with an object that calls one of the tools; None when more has to come to know."""
    if not offered or text[:1] not in {"{", "["}:
        return False
    packed = "".join(text[:_MAX_OPENING_CHARS].split())
    openings = [f'{before}"{name}"' for name in offered for before in _OBJECT_OPENINGS]
    if packed.startswith(tuple(openings)):
        return True
    return None if any(opening.startswith(packed) for opening in openings) else False
