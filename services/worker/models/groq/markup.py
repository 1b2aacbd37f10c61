"""What models write into their text that is no text: reasoning, tool calls, control tokens.

Decided with care, because an answer may be about these very words. Nothing counts in Markdown's code. In a sentence, a
word that stands alone (`the <think> tag`) stays as well.
"""

import re
from collections.abc import Callable, Collection
from typing import Any, Final

from services.worker.models.groq.call_likeness import HEAD_CHARS, is_whole_json, looks_like_call, text_after_call
from services.worker.models.groq.calls import spoken_calls
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
    TALK_AFTER,
    TALK_BEFORE,
    WORDS,
    Kind,
)

MAX_CALL_CHARS: Final = 20_000
ADDRESSED: Final = "to="
"""A message of gpt-oss that begins so is for a tool, whatever it holds."""
MAX_HEADER_CHARS: Final = 120
MAX_STRUCK_CHARS: Final = 120
"""Where an answer begins with `<s>`, so many characters are waited for: a closing word among them makes it HTML."""
CODE_INDENT: Final = 4
FENCE: Final = 3
"""Backticks."""
TAIL_CHARS: Final = 80
"""So much of the text before is kept, to tell where a word stands."""

_MARK: Final = re.compile("`+|[<\\[◁]")
_CODE_MARK: Final = re.compile("`+|\n")
_BACKTICKS: Final = re.compile("`+")
_ROLE: Final = re.compile(r"\s*(?:assistant|user|system|tool|model|developer)\b[ \t]*\n?", re.IGNORECASE)
_HEADER_WORDS: Final = (
    "assistant",
    "user",
    "system",
    "tool",
    "model",
    "developer",
    "analysis",
    "commentary",
    "final",
    "to=",
)
_STRUCK: Final = re.compile(rf"[^\n]{{1,{MAX_STRUCK_CHARS}}}?</s>", re.IGNORECASE)
_RECIPIENT: Final = re.compile(r"to=([\w.:-]+)")
_SENTENCE_ENDS: Final = frozenset(".!?…>")

_OBJECT_OPENINGS: Final = (
    '{"name":', '{"tool_name":', '{"tool":', '{"function":', '[{"name":', '{"type":"function","name":',
    '{"type":"function","function":{"name":', '{"function":{"name":', '{"tool_calls":[{"name":',
)  # fmt: skip

Piece = tuple[bool, str]
"""A text, and whether it is reasoning."""


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
        self._rest = ""
        self._tail = ""
        self._code = 0
        self._is_fence = False
        self._is_blank = True
        self._is_trimming = False
        self._is_ending = False
        self._is_plain = False
        self._reasoning_end = ""
        self._is_continued = bool(before)
        self._has_talked = False
        self._collected: list[str] = []
        self._collected_chars = 0
        self._opener = ""
        self._is_call_like = False
        self._struck = before.lower().count("<s>") - before.lower().count("</s>")
        self._has_talked_of_calls = False
        self._closers: tuple[str, ...] = ()
        self._step: Callable[[str, list[Piece]], str | None] = self._read_text
        if before:
            self._follow_code(before)
            self._tail = ""
        if is_reasoning:
            self._begin_reasoning(("</think>", "</thinking>"))

    def read(self, text: str) -> list[Piece]:
        """What this text adds. A word that may be going on waits for the next text."""
        return [(False, text)] if self.read_plain(text) else self._read_all(text)

    def read_plain(self, text: str) -> str:
        """The text itself where nothing in it, or before it, could be markup; else nothing, and nothing is read."""
        if not self._is_plain or _MARK.search(text):
            return ""
        self._tail = (self._tail + text)[-TAIL_CHARS:]
        return text

    def end(self) -> list[Piece]:
        """What still waits, once the answer is over."""
        self._is_ending = True
        pieces = self._read_all("")
        while rest := self._end_waiting(pieces):
            pieces += self._read_all(rest)
        return _merged(pieces)

    def _end_waiting(self, pieces: list[Piece]) -> str:
        """End what was collected. Returns what is no call and no header, and has to be read as text."""
        step, said = self._step, "".join(self._collected)
        if step == self._read_call:
            return self._end_call(pieces)
        self._step = self._read_text
        if step == self._read_object:
            self.calls += (calls := spoken_calls(said, self._offered))
            if not calls:
                self._say(said, pieces)
        elif step == self._read_header and not _may_begin_header(said):
            self._collected = []
            self._trim()
            return said
        return ""

    def stop_assuming(self) -> None:
        """The reasoning comes apart, so that the text is all text."""
        if self.is_assumed:
            self.is_assumed = False
            self._step = self._read_text

    def _read_all(self, text: str) -> list[Piece]:
        pieces: list[Piece] = []
        rest: str | None = self._rest + text
        self._rest = ""
        while rest:
            rest = self._step(rest, pieces)
        self._is_plain = self._step == self._read_text and not (
            self._rest or self._code or self._is_blank or self._is_trimming
        )
        return _merged(pieces)

    # Text.

    def _read_text(self, text: str, pieces: list[Piece]) -> str | None:  # noqa: C901, PLR0911, PLR0912 - one walk over the marks
        """Read until the mode changes. Returns what the next mode has to read; None when the text is used up."""
        if self._is_blank and not self._is_continued and not self._code:
            begun = self._begin_answer(text)
            if begun is not None:
                return begun or None
        at = 0
        while at < len(text):
            if self._code:
                at = self._pass_code(text, at)
                if at < 0:
                    return self._wait(text, len(text.rstrip("`")), pieces)
                continue
            found = _MARK.search(text, at)
            if found is None:
                break
            at = found.start()
            if found[0][0] == "`":
                if found.end() == len(text) and not self._is_ending:
                    return self._wait(text, at, pieces)
                self._open_code(text, at, len(found[0]))
                at = found.end()
                continue
            word = WORDS.match(text, at)
            if word is None:
                if text[at : at + LONGEST].lower() in BEGINNINGS and not self._is_ending:
                    return self._wait(text, at, pieces)
                at += 1
                continue
            kind = KINDS[word[0].lower()]
            if self._is_undecided(text, at, word, kind):
                return self._wait(text, at, pieces)
            if self._is_talk(text, at, word, kind):
                self._has_talked = True
                at = word.end()
                continue
            if not self._is_blank or self._is_continued or text[:at].strip():
                self._say(text[:at], pieces)
            return self._obey(kind, word[0], text[word.end() :], pieces)
        self._say(text, pieces)
        return None

    def _wait(self, text: str, at: int, pieces: list[Piece]) -> str | None:
        """Say the text up to here; the rest waits for more."""
        if self._is_blank and not self._is_continued and not text[:at].strip():
            at = 0
        self._say(text[:at], pieces)
        self._rest = text[at:]
        return None

    def _is_undecided(self, text: str, at: int, word: re.Match[str], kind: Kind) -> bool:
        """Whether what follows the word decides, and has not come yet."""
        if self._is_ending:
            return False
        after = text[word.end() :]
        if kind is Kind.FIRST and self._is_first(text, at):
            struck = _STRUCK.match(after)
            if struck is None:
                return len(after) < MAX_STRUCK_CHARS + len("</s>") and "\n" not in after
            after = after[struck.end() :]
            return not after.strip() or after.lstrip().lower()[:LONGEST] in BEGINNINGS
        if kind is Kind.LAST:
            return not after.strip() or after.lstrip().lower()[:LONGEST] in BEGINNINGS
        return not after and not (kind is Kind.OPEN and self._is_boundary(text, at))

    def _begin_answer(self, text: str) -> str | None:
        """At the very beginning: words without control tokens, or a call that is the whole answer; None for neither."""
        begun = text.lstrip()
        if not begun:
            self._rest = "" if self._is_ending else text
            return None if self._is_ending else ""
        if ANALYSIS.startswith(begun) and not self._is_ending:
            self._rest = text
            return ""
        if begun.startswith(ANALYSIS) and begun[len(ANALYSIS) :][:1].isupper():
            self._begin_reasoning(STRIPPED_CLOSERS)
            return begun[len(ANALYSIS) :]
        if self._offered and begun[0] in "{[":
            packed = "".join(begun[:400].split())
            for opening in _object_openings(self._offered):
                if packed.startswith(opening):
                    self._begin_call("", ())
                    self._step = self._read_object
                    return text
                if opening.startswith(packed) and not self._is_ending:
                    self._rest = text
                    return ""
        return None

    def _is_boundary(self, text: str, at: int) -> bool:
        """Whether the answer, a line or a sentence begins here."""
        line = self._line_before(text, at)
        if not line.strip():
            return len(line) < CODE_INDENT
        return line.rstrip()[-1] in _SENTENCE_ENDS

    def _line_before(self, text: str, at: int) -> str:
        """The line's beginning, as far as it is known."""
        start = text.rfind("\n", 0, at)
        return text[start + 1 : at] if start >= 0 else (self._tail + text[:at]).rpartition("\n")[2]

    def _is_talk(self, text: str, at: int, word: re.Match[str], kind: Kind) -> bool:  # noqa: PLR0911 - one table of cases
        """Whether the answer speaks of this word instead of meaning it."""
        before = text[at - 1] if at else self._tail[-1:]
        after = text[word.end() : word.end() + 1]
        if kind is Kind.LAST:
            self._struck -= 1
            return self._struck >= 0 or not _is_end(text[word.end() :])
        is_first = self._is_blank and not text[:at].strip()
        if kind is Kind.FIRST:
            struck = _STRUCK.match(text, word.end())
            is_html = not self._is_first(text, at) or (struck is not None and not _is_end(text[struck.end() :]))
            self._struck = max(0, self._struck) + is_html
            return is_html
        if kind is Kind.CALL and word[0].endswith(("=", "(")):
            return not (after.isalnum() or after in "\"'_")
        if kind is Kind.DROP and self._has_talked_of_calls and word[0].startswith("</"):
            return True
        if kind is Kind.CLOSE and self._has_talked:
            return True
        if kind is Kind.OPEN and self._is_boundary(text, at):
            return False
        line = self._line_before(text, at)
        is_line_start = not line.strip()
        if is_line_start and (len(line) >= CODE_INDENT or is_first or kind is Kind.CALL):
            return len(line) >= CODE_INDENT
        if kind is Kind.CLOSE and not self._is_boundary(text, at) and before in TALK_BEFORE and after in {"", "\n"}:
            return True  # a sentence may end in the word
        return (before in TALK_BEFORE or (is_line_start and kind is Kind.DROP)) and after in TALK_AFTER and bool(after)

    def _is_first(self, text: str, at: int) -> bool:
        """Whether the answer begins here."""
        return self._is_blank and not self._is_continued and not text[:at].strip()

    def _obey(self, kind: Kind, word: str, rest: str, pieces: list[Piece]) -> str:
        match kind:
            case Kind.OPEN:
                self._begin_reasoning(CLOSERS[word.lower()])
            case Kind.CALL:
                self._begin_call(word, CALL_CLOSERS[word.lower()])
            case Kind.HEADER:
                self._begin_call(word, HEADERS[word.lower()])
                self._step = self._read_header
            case Kind.CLOSE:
                self._trim()
                if not self._is_blank:
                    self.has_lone_close = True
                # What came with this very chunk can still be told apart.
                pieces[:] = [(True, text) for _, text in pieces]
                self._is_blank = True
                self._is_trimming = True
            case _:
                self._trim()
        return rest

    def _trim(self) -> None:
        self._is_trimming = self._is_blank and not self._is_continued

    def _say(self, text: str, pieces: list[Piece]) -> None:
        if not text:
            return
        if self._is_trimming:
            text = text.lstrip()
            if not text:
                return
            self._is_trimming = False
        self._is_blank = self._is_blank and not text.strip()
        self._tail = (self._tail + text)[-TAIL_CHARS:]
        pieces.append((False, text))

    # Markdown's code.

    def _open_code(self, text: str, at: int, ticks: int) -> None:
        line = self._line_before(text, at)
        self._is_fence = ticks >= FENCE and not line.strip(" \t>-*0123456789.")
        self._code = ticks

    def _pass_code(self, text: str, at: int) -> int:
        """Where the code ends; the text's length when it goes on, -1 when more has to come to know."""
        for found in _CODE_MARK.finditer(text, at):
            if found[0] == "\n":
                if not self._is_fence:
                    self._code = 0
                    return found.end()
                continue
            if found.end() == len(text) and not self._is_ending:
                return -1
            line = self._line_before(text, found.start())
            is_end = len(found[0]) >= self._code and not line.strip() if self._is_fence else len(found[0]) == self._code
            if is_end:
                self._code = 0
                return found.end()
        return len(text)

    def _follow_code(self, before: str) -> None:
        """Note whether a text ends within code."""
        at, before = 0, before + "\0"  # so that backticks at the end have an end
        while True:
            if self._code:
                at = self._pass_code(before, at)
                if at >= len(before) - 1:
                    return
            found = _BACKTICKS.search(before, at)
            if found is None:
                return
            self._open_code(before, found.start(), len(found[0]))
            at = found.end()

    # Reasoning.

    def _begin_reasoning(self, closers: tuple[str, ...]) -> None:
        self._closers = closers
        self._is_trimming = True
        self._step = self._read_reasoning

    def _read_reasoning(self, text: str, pieces: list[Piece]) -> str | None:
        if self.is_assumed and self._is_trimming and (begun := text.lstrip().lower()):
            if begun.startswith("<think"):
                self.stop_assuming()
                return text
            if "<think".startswith(begun) and not self._is_ending:
                self._rest = text
                return None
        at, closer = self._find_closer(text)
        if at < 0:
            wait = 0 if self._is_ending else _waiting(text, (*self._closers, *CHANNEL_BEGINS))
            self._say_reasoning(text[: len(text) - wait], pieces)
            self._rest = text[len(text) - wait :]
            return None
        if self._closers == STRIPPED_CLOSERS and closer == "assistantcommentary":
            self._say_reasoning(text[:at], pieces)
            self._begin_call("", ("assistantfinal", "assistantanalysis"))
            return text[at + len(closer) :]
        self._say_reasoning(text[:at], pieces)
        self.is_assumed = False
        self._step = self._read_text
        self._trim()
        return text[at if closer in CHANNEL_BEGINS else at + len(closer) :]

    def _find_closer(self, text: str) -> tuple[int, str]:
        lower, best = _lower(text), (-1, "")
        for closer in (*self._closers, *CHANNEL_BEGINS):
            at = lower.find(closer)
            while at >= 0 and (lower[at - 1] if at else self._reasoning_end) == "`":
                at = lower.find(closer, at + 1)
            if at >= 0 and (best[0] < 0 or at < best[0]):
                best = at, closer
        return best

    def _say_reasoning(self, text: str, pieces: list[Piece]) -> None:
        if self._is_trimming:
            text = text.lstrip()
            self._is_trimming = not text
        if text:
            self._reasoning_end = text[-1]
            pieces.append((True, text))

    # Calls, and the headers of messages.

    def _begin_call(self, opener: str, closers: tuple[str, ...]) -> None:
        self._opener, self._closers, self._collected, self._collected_chars = opener, closers, [], 0
        self._is_call_like = opener.startswith(ADDRESSED)
        self._step = self._read_call

    def _collect(self, text: str) -> None:
        if self._collected_chars <= MAX_CALL_CHARS:
            self._collected.append(text)
        self._collected_chars += len(text)

    def _read_call(self, text: str, pieces: list[Piece]) -> str | None:
        lower = _lower(text)
        found = [(at, closer) for closer in self._closers if (at := lower.find(closer)) >= 0]
        at, closer = min(found, default=(len(text), ""))
        wait = 0 if found or self._is_ending else _waiting(text, self._closers)
        if not self._may_be_call(text[: at - wait]):
            return self._take_back(pieces) + text
        self._collect(text[: at - wait])
        if not found:
            self._rest = text[at - wait :]
            return None
        rest = text[at if closer in CHANNEL_BEGINS else at + len(closer) :]
        return self._end_call(pieces, text[at : at + len(closer)], rest)

    def _may_be_call(self, more: str) -> bool:
        """Whether what was collected may still become a call, or one that is dropped, with this added."""
        chars = self._collected_chars + len(more)
        if not self._is_call_like and chars > HEAD_CHARS:
            head = ("".join(self._collected) + more)[:HEAD_CHARS]
            self._is_call_like = looks_like_call(self._opener, head, self._offered, is_closed=False)
            if not self._is_call_like:
                return False
        return chars <= MAX_CALL_CHARS or bool(self._offered) or self._opener.startswith(ADDRESSED)

    def _take_back(self, pieces: list[Piece]) -> str:
        """Say the word that opened no call. Returns what was collected, which is text."""
        self._step = self._read_text
        self._has_talked_of_calls = True
        self._say(self._opener, pieces)
        said, self._collected = "".join(self._collected), []
        return said

    def _end_call(self, pieces: list[Piece], closer: str = "", rest: str = "") -> str:
        """Take the call that was said. Returns what has to be read as text.

        What only looks like a call is dropped: with tools, or where it is whole. Anything else is text.
        """
        opener, said, is_closed = self._opener, "".join(self._collected), bool(closer)
        looks = self._is_call_like or looks_like_call(opener, said, self._offered, is_closed=is_closed)
        calls = []
        if self._collected_chars <= MAX_CALL_CHARS and (looks or is_closed):
            calls = spoken_calls(opener + said, self._offered)
        is_dropped = looks if self._offered else is_closed and is_whole_json(opener, said)
        if not calls and not is_dropped and not opener.startswith(ADDRESSED):
            return self._take_back(pieces) + closer + rest
        self._step = self._read_text
        self.calls += calls
        self._trim()
        return rest if is_closed or calls else text_after_call(opener, said)

    def _read_object(self, text: str, pieces: list[Piece]) -> str | None:
        """Read an answer that is an object to its end."""
        self._collect(text)
        if self._collected_chars > MAX_CALL_CHARS:
            self._step = self._read_text
            self._say("".join(self._collected), pieces)
        return None

    def _read_header(self, text: str, _pieces: list[Piece]) -> str | None:
        header = "".join(self._collected) + text
        (closer,) = self._closers
        if closer == "\n":
            return self._read_role(header)
        at = header.find(closer)
        is_undecided = "commentary" in header[: max(at, 0)] and not header[at + len(closer) :].strip()
        if (at < 0 or (is_undecided and not self._is_ending)) and len(header) < MAX_HEADER_CHARS:
            self._collected = [header]
            return None
        self._step = self._read_text
        self._trim()
        if at < 0 or at > MAX_HEADER_CHARS:
            return header  # no header: only the word is dropped
        rest, header = header[at + len(closer) :], header[:at]
        if self._opener.lower() == "<|start_header_id|>":
            self._is_trimming = True
            return rest
        recipient = _RECIPIENT.search(header)
        if recipient and recipient[1] not in {"assistant", "user", "all", "final"}:
            self._begin_call(f"to={recipient[1]} ", (*CHANNEL_ENDS, *CHANNEL_BEGINS))
        elif ANALYSIS in header:
            self._begin_reasoning(CHANNEL_ENDS)
        elif "commentary" in header and rest.lstrip().startswith("{"):
            self._begin_call("", (*CHANNEL_ENDS, *CHANNEL_BEGINS))
        return rest

    def _read_role(self, header: str) -> str | None:
        """Pass over the role after `<|im_start|>`, which a line end ends."""
        if len(header) < len("developer\n") and "\n" not in header.lstrip() and header.strip().isalpha():
            self._collected = [header]
            return None
        self._step = self._read_text
        self._trim()
        return _ROLE.sub("", header, count=1) if _ROLE.match(header) else header


def _is_end(text: str) -> bool:
    """Whether nothing but control tokens follows, as far as is known."""
    return not text.strip() or WORDS.match(text.lstrip()) is not None


def _may_begin_header(text: str) -> bool:
    """Whether a header, or its beginning, was cut off."""
    word = text.strip().lower()
    return any(word.startswith(name) or name.startswith(word) for name in _HEADER_WORDS)


def _merged(pieces: list[Piece]) -> list[Piece]:
    """The pieces, neighbours of one sort as one."""
    merged: list[Piece] = []
    for is_reasoning, text in pieces:
        if merged and merged[-1][0] == is_reasoning:
            merged[-1] = (is_reasoning, merged[-1][1] + text)
        elif text:
            merged.append((is_reasoning, text))
    return merged


def _lower(text: str) -> str:
    """The text in small letters, each at its place. Some letters have small forms of two characters."""
    lower = text.lower()
    return lower if len(lower) == len(text) else text


def _waiting(text: str, closers: Collection[str]) -> int:
    """How many characters at the end of a text may begin one of the words."""
    end = _lower(text[-LONGEST:])
    firsts = {closer[0] for closer in closers}
    for at, character in enumerate(end):
        if character in firsts and any(closer.startswith(end[at:]) for closer in closers):
            return len(end) - at
    return 0


def _object_openings(offered: Collection[str]) -> list[str]:
    """How an object begins that calls one of the tools, without spaces."""
    return [f'{before}"{name}"' for name in offered for before in _OBJECT_OPENINGS]
