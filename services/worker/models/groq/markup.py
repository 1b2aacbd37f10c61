"""What models write into their text that is no text: reasoning, tool calls, control tokens.

Decided with care, because an answer may be about these very words. Nothing counts in Markdown's code. In a sentence, a
word that stands alone (`the <think> tag`) stays as well.
"""

import re
from collections.abc import Callable, Collection
from typing import Any, Final

from services.worker.models.groq.calls import said_calls
from services.worker.models.groq.closers import begun_closer, find_closer
from services.worker.models.groq.headers import (
    MAX_HEADER_CHARS,
    is_commentary,
    is_undecided,
    may_begin_header,
    recipient_of,
    text_after_role,
)
from services.worker.models.groq.markdown_code import TAIL_CHARS, MarkdownCode
from services.worker.models.groq.pieces import Piece, merged
from services.worker.models.groq.reasoning import Reasoning
from services.worker.models.groq.said_call import ADDRESSED, SaidCall, opens_object_call
from services.worker.models.groq.talk import Talk
from services.worker.models.groq.words import (
    ANALYSIS,
    BEGINNINGS,
    CALL_CLOSERS,
    CHANNEL_BEGINS,
    CHANNEL_ENDS,
    CLOSERS,
    HEADERS,
    KINDS,
    LONGEST,
    STRIPPED_CLOSERS,
    WORDS,
    Kind,
)

MAX_WAITING_CHARS: Final = 1_000
"""What may be the beginning of a word of markup waits. Once more than this waits, it is decided with what there is."""
STEP_CHARS: Final = 4_096
"""A long text is read in steps of this size: each word of markup copies what is left of its step."""

_MARK: Final = re.compile("`+|[<\\[◁]")
_NOT_PLAIN: Final = re.compile("[`<\\[◁\ud800-\udfff]")
"""What can begin markup or code, and the halves of characters."""


class Markup:
    """Reads the text of one answer, as it comes.

    `offered` are the names of the request's tools. `before` is the text that the model continues. With `is_reasoning`
    the answer begins with reasoning that has no opening word. `calls` are those that the model said in its text.
    `has_lone_close`: the text before was reasoning, and could not be known as such.
    """

    def __init__(self, offered: Collection[str], before: str = "", *, is_reasoning: bool = False) -> None:
        self._offered = offered
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.has_lone_close = False
        self.is_assumed = is_reasoning
        self._talk = Talk(before)
        self._code = MarkdownCode(before)
        self._call = SaidCall("", (), offered)
        self._header_opener = self._header = ""
        self._reasoning = Reasoning(())
        self._rest = ""
        self._retold = 0
        self._is_trimming = False
        self._is_ending = False
        self._must_decide = False
        self._is_plain = False
        self._step: Callable[[str, list[Piece]], str | None] = self._read_text
        if is_reasoning:
            self._begin_reasoning(("</think>", "</thinking>"))

    def read(self, text: str) -> list[Piece]:
        """What this text adds. A word that may be going on waits for the next text."""
        if self.read_plain(text):
            return [(False, text)]
        pieces: list[Piece] = []
        self._retold = 0
        for at in range(0, len(text) or 1, STEP_CHARS):
            self._read_step(text[at : at + STEP_CHARS], pieces)
        return merged(pieces)

    def read_plain(self, text: str) -> str:
        """The text itself where nothing in it, or before it, could be markup; else nothing, and nothing is read."""
        if not self._is_plain or _NOT_PLAIN.search(text):
            return ""
        self._talk.tail = (self._talk.tail + text)[-TAIL_CHARS:]
        return text

    def end(self) -> list[Piece]:
        """What still waits, once the answer is over."""
        self._is_ending = True
        pieces: list[Piece] = []
        self._retold = 0
        self._read_step("", pieces)
        while rest := self._end_waiting(pieces):
            self._read_step(rest, pieces)
        return merged(pieces)

    def stop_assuming(self) -> None:
        """The reasoning comes apart, so that the text is all text."""
        if self.is_assumed:
            self.is_assumed = False
            self._is_trimming = self._reasoning.is_blank
            self._talk.add(self._reasoning.last)
            self._step = self._read_text

    def _end_waiting(self, pieces: list[Piece]) -> str:
        """End what was collected. Returns what is no call and no header, and has to be read as text."""
        step = self._step
        if step == self._read_call:
            return self._end_call(pieces)
        self._step = self._read_text
        if step == self._read_object:
            said = self._call.said
            self.calls += (calls := said_calls(said, self._offered))
            if not calls:
                self._say(said, pieces)
        elif step == self._read_header and not may_begin_header(self._header):
            self._trim()
            return self._header
        return ""

    def _read_step(self, text: str, pieces: list[Piece]) -> None:
        rest: str | None = self._rest + text
        self._must_decide = self._is_ending or len(self._rest) > MAX_WAITING_CHARS
        self._rest = ""
        while rest:
            rest = self._step(rest, pieces)
        self._is_plain = self._step == self._read_text and not (
            self._rest or self._code.is_open or self._talk.is_blank or self._is_trimming
        )

    # Text.

    def _read_text(self, text: str, pieces: list[Piece]) -> str | None:  # noqa: C901, PLR0911, PLR0912 - one walk over the marks
        """Read until the mode changes. Returns what the next mode has to read; None when the text is used up."""
        if self._talk.is_at_beginning and not self._code.is_open:
            begun = self._begin_answer(text)
            if begun is not None:
                return begun or None
        at = 0
        while at < len(text):
            if self._code.is_open:
                at = self._code.find_end(text, at, self._talk.tail, is_ending=self._must_decide)
                if at < 0:
                    return self._wait(text, len(text.rstrip("`")), pieces)
                continue
            found = _MARK.search(text, at)
            if found is None:
                break
            at = found.start()
            if found[0][0] == "`":
                if found.end() == len(text) and not self._must_decide:
                    return self._wait(text, at, pieces)
                self._code.open(self._talk.line_before(text, at), len(found[0]))
                at = found.end()
                continue
            word = WORDS.match(text, at)
            if word is None:
                if text[at : at + LONGEST].lower() in BEGINNINGS and not self._must_decide:
                    return self._wait(text, at, pieces)
                at += 1
                continue
            kind = KINDS[word[0].lower()]
            if not self._must_decide and self._talk.is_undecided(text, word, kind):
                return self._wait(text, at, pieces)
            if self._talk.is_talk(text, word, kind):
                at = word.end()
                continue
            if not self._talk.is_at_beginning or text[:at].strip():
                self._say(text[:at], pieces)
            self._obey(kind, word[0], pieces)
            return text[word.end() :]
        self._say(text, pieces)
        return None

    def _wait(self, text: str, at: int, pieces: list[Piece]) -> str | None:
        """Say the text up to here; the rest waits for more."""
        if self._talk.is_at_beginning and not text[:at].strip():
            at = 0
        self._say(text[:at], pieces)
        self._rest = text[at:]
        return None

    def _begin_answer(self, text: str) -> str | None:
        """At the very beginning: words without control tokens, or a call that is the whole answer; None for neither."""
        begun = text.lstrip()
        if not begun:
            self._rest = "" if self._must_decide else text
            return None if self._must_decide else ""
        if ANALYSIS.startswith(begun) and not self._must_decide:
            self._rest = text
            return ""
        if begun.startswith(ANALYSIS) and begun[len(ANALYSIS) :][:1].isupper():
            self._begin_reasoning(STRIPPED_CLOSERS)
            return begun[len(ANALYSIS) :]
        opens_call = opens_object_call(begun, self._offered)
        if opens_call:
            self._begin_call("", ())
            self._step = self._read_object
            return text
        if opens_call is None and not self._must_decide:
            self._rest = text
            return ""
        return None

    def _obey(self, kind: Kind, word: str, pieces: list[Piece]) -> None:
        match kind:
            case Kind.OPEN:
                self._begin_reasoning(CLOSERS[word.lower()])
            case Kind.CALL:
                self._talk.opened_calls += 1
                self._begin_call(word, CALL_CLOSERS[word.lower()])
            case Kind.HEADER:
                self._header_opener, self._header = word.lower(), ""
                self._step = self._read_header
            case Kind.CLOSE:
                self._trim()
                if not self._talk.is_blank:
                    self.has_lone_close = True
                # What came with this very chunk can still be told apart.
                pieces[self._retold :] = [(True, text) for _, text in pieces[self._retold :]]
                self._retold = len(pieces)
                self._talk.is_blank = True
                self._is_trimming = True
            case _:
                self._trim()

    def _trim(self) -> None:
        self._is_trimming = self._talk.is_at_beginning

    def _say(self, text: str, pieces: list[Piece]) -> None:
        if self._is_trimming and text:
            text = text.lstrip()
            self._is_trimming = not text
        if text:
            self._talk.add(text)
            pieces.append((False, text))

    # Reasoning.

    def _begin_reasoning(self, closers: tuple[str, ...]) -> None:
        self._reasoning = Reasoning(closers)
        self._step = self._read_reasoning

    def _read_reasoning(self, text: str, pieces: list[Piece]) -> str | None:
        if self.is_assumed and self._reasoning.is_blank and (begun := text.lstrip().lower()):
            if begun.startswith("<think"):
                self.stop_assuming()
                return text
            if "<think".startswith(begun) and not self._must_decide:
                self._rest = text
                return None
        said, closer, rest = self._reasoning.read(text, is_ending=self._must_decide)
        if said:
            pieces.append((True, said))
        if not closer:
            self._rest = rest
            return None
        if closer == "assistantcommentary":
            self._begin_call("", ("assistantfinal", "assistantanalysis"))
            return rest
        self.is_assumed = False
        self._step = self._read_text
        self._trim()
        return rest

    # Calls, and the headers of messages.

    def _begin_call(self, opener: str, closers: tuple[str, ...]) -> None:
        self._call = SaidCall(opener, closers, self._offered)
        self._step = self._read_call

    def _read_call(self, text: str, pieces: list[Piece]) -> str | None:
        closers = self._call.closers
        at, closer = find_closer(text, closers)
        wait = 0 if closer or self._must_decide else begun_closer(text, closers)
        if not self._call.may_be_call(text[: at - wait]):
            return self._take_back(pieces) + text
        self._call.add(text[: at - wait])
        if not closer:
            self._rest = text[at - wait :]
            return None
        rest = text[at if closer in CHANNEL_BEGINS else at + len(closer) :]
        return self._end_call(pieces, text[at : at + len(closer)], rest)

    def _take_back(self, pieces: list[Piece]) -> str:
        """Say the word that opened no call. Returns what was collected, which is text."""
        self._step = self._read_text
        self._talk.has_talked_of_calls = True
        self._say(self._call.opener, pieces)
        return self._call.said

    def _end_call(self, pieces: list[Piece], closer: str = "", rest: str = "") -> str:
        """Take the call that was said. Returns what has to be read as text."""
        verdict = self._call.end(is_closed=bool(closer))
        if verdict.is_text:
            return self._take_back(pieces) + closer + rest
        self._step = self._read_text
        self.calls += verdict.calls
        self._trim()
        return verdict.rest + rest

    def _read_object(self, text: str, pieces: list[Piece]) -> str | None:
        """Read an answer that is an object to its end."""
        self._call.add(text)
        if self._call.is_too_long:
            self._step = self._read_text
            self._say(self._call.said, pieces)
        return None

    def _read_header(self, text: str, _pieces: list[Piece]) -> str | None:
        header = self._header + text
        (closer,) = HEADERS[self._header_opener]
        if closer == "\n":
            return self._end_header(header, text_after_role(header))
        at = header.find(closer)
        rest = header[at + len(closer) :]
        waits = at < 0 or (is_undecided(header[:at], rest) and not self._must_decide)
        if waits and len(header) < MAX_HEADER_CHARS:
            return self._end_header(header, None)
        if at < 0 or at > MAX_HEADER_CHARS:
            return self._end_header(header, header)  # no header: only the word is dropped
        self._end_header(header, rest)
        header = header[:at]
        if self._header_opener == "<|start_header_id|>":
            self._is_trimming = True
        elif recipient := recipient_of(header):
            self._begin_call(f"{ADDRESSED}{recipient} ", (*CHANNEL_ENDS, *CHANNEL_BEGINS))
        elif ANALYSIS in header:
            self._begin_reasoning(CHANNEL_ENDS)
        elif is_commentary(header) and rest.lstrip().startswith("{"):
            self._begin_call("", (*CHANNEL_ENDS, *CHANNEL_BEGINS))
        return rest

    def _end_header(self, header: str, rest: str | None) -> str | None:
        """Go on with the text behind a header; None when the header may go on."""
        if rest is None:
            self._header = header
            return None
        self._step = self._read_text
        self._trim()
        return rest
