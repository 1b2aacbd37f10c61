"""One tolerant reader for what endpoints send: events of any shape go in, chunks of one shape come out for ChatGroq.

A chunk that comes out is `{"choices": [{"delta": {"content": text, "reasoning": text}}]}`. Only the last one has the
finish reason, the usage and the tool calls.
"""

import json
from collections.abc import Collection
from typing import Any, Final

from services.worker.models.groq.calls import ToolCallPieces
from services.worker.models.groq.characters import Characters
from services.worker.models.groq.markup import Markup
from services.worker.models.groq.pieces import Piece, merged
from services.worker.models.groq.refusals import error_in, failure_of_event
from services.worker.models.groq.usage import read_usage
from services.worker.models.port import ToolCall
from shared.errors import ModelBadResponse, ModelToolCallFailed
from shared.protocol.frames import FinishReason
from shared.token_usage import TokenUsage

Chunk = dict[str, Any]

FINISH_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "max_output_tokens": "length",
    "content_filter": "content-filter",
    "safety": "content-filter",
    "refusal": "content-filter",
    "tool_calls": "tool-calls",
    "tool_use": "tool-calls",
    "function_call": "tool-calls",
}
"""What endpoints call the ends of answers. All others are `other`."""
NO_REASONS: Final = frozenset({"", "null", "none"})
"""Texts that endpoints send before the end, where there is no finish reason yet."""
_REASONING_FIELDS: Final = ("reasoning", "reasoning_content", "thinking", "reasoning_text", "reasoning_details")
_TEXT_FIELDS: Final = ("text", "content", "thinking", "reasoning", "summary", "refusal")
_REASONING_PARTS: Final = ("thinking", "reasoning", "thought", "reasoning.text", "reasoning.summary")
MAX_PART_DEPTH: Final = 5
MAX_LIST: Final = 64
"""Events in one."""
MAX_HELD_CHARS: Final = 400_000
"""So much text is held back at most until it is known what is reasoning. More than this is shown as text."""


class AnswerReader:
    """Reads the events of one answer.

    `offered` are the names of the request's tools, `before` is the text that the model continues. With `is_reasoning`
    the answer may begin with reasoning that no word opens: what comes waits until it is known what it is. With
    `is_whole` no text comes out before the end, so that reasoning is told apart however late it shows. Both wait for
    MAX_HELD_CHARS at most: what is not known by then is text. `progress` counts the events that brought something, also
    what does not come out yet.
    """

    def __init__(
        self, offered: Collection[str] = (), before: str = "", *, is_reasoning: bool = False, is_whole: bool = False
    ) -> None:
        self.unreadable = 0
        self.has_ended = False
        self.has_said = False
        self.progress = 0
        self._markup = Markup(offered, before, is_reasoning=is_reasoning)
        self._calls = ToolCallPieces(offered)
        self._text, self._reasoning = Characters(), Characters()
        self._assumed: list[Piece] = []
        self._assumed_chars = 0
        self._was_assumed_wrongly = False
        self._is_whole = is_whole
        self._waiting: list[str] = []
        self._waiting_chars = 0
        self._has_read = False
        self._has_delta = False
        self._is_plain = False
        self._is_refusal = False
        self._reason: FinishReason | None = None
        self._usage: TokenUsage | None = None

    @property
    def is_over(self) -> bool:
        """Whether the tool calls have no end, so that nothing more is worth waiting for."""
        return self._calls.is_full

    @property
    def has_lone_close(self) -> bool:
        """Whether the text turned out to have begun with reasoning."""
        return self._markup.has_lone_close

    @property
    def was_assumed_wrongly(self) -> bool:
        """Whether the text was expected to begin with reasoning, and did not."""
        return self._was_assumed_wrongly

    def read(self, event: Any) -> list[Chunk]:  # noqa: ANN401 - what the model sent
        """The chunks that an event adds. What can't be read is skipped, and counted.

        Raises:
            ModelError: the event is an error.

        """
        if self._is_plain and (text := _plain_text(event)) and (text := self._markup.read_plain(text)):
            # Nearly every event of nearly every answer.
            return [{"choices": [{"delta": {"content": text}}]}]
        if isinstance(event, list):
            return [chunk for one in event for chunk in self.read(one)] if _is_flat(event) else self._skip()
        if not isinstance(event, dict):
            return self._skip()
        if (error := error_in(event)) is not None:
            if self.has_ended:
                return []  # the answer was whole before
            raise failure_of_event(error)
        if event.get("usage") or event.get("x_groq"):
            self._usage = read_usage(event) or self._usage
        choice = _choice(event)
        if choice is None:
            return []
        self._has_read = True
        chunks = self._chunks(self._read_choice(choice))
        self._is_plain = self._has_delta and self.has_said and not self._is_whole and not self._text.is_waiting
        return chunks

    def end(self, *, is_done: bool) -> list[Chunk]:
        """The last chunks. `is_done`: the endpoint said that nothing follows; else its body merely ended.

        Raises:
            ModelBadResponse: the body was cut short, or nothing in it was readable.

        """
        if not self._has_read or not (is_done or self.has_ended or self.is_over):
            raise ModelBadResponse
        self.has_ended = True
        pieces = self._read_waiting() if self._is_whole else []
        if (rest := self._reasoning.end()) != "":
            pieces.append((True, rest))
        pieces += self._markup.read(self._text.end())
        pieces += self._markup.end()
        if self._markup.is_assumed:
            # No word ended what may have been reasoning. So it was the answer.
            self._was_assumed_wrongly = True
            self._stop_assuming()
            pieces = [(False, text) for _, text in pieces]
        chunks = self._chunks(pieces)
        for name, arguments in self._markup.calls:
            self._calls.say(name, arguments)
        return [*chunks, self._last_chunk(self._calls.made())]

    def _last_chunk(self, calls: tuple[ToolCall, ...]) -> Chunk:
        reason = self._reason or "other"
        if self._is_refusal:
            reason = "content-filter"
        elif calls:
            reason = "tool-calls"
        delta: dict[str, Any] = {"content": ""}
        if calls:
            delta["tool_calls"] = [
                {"id": call.id, "function": {"name": call.name, "arguments": _dumped(call.arguments)}} for call in calls
            ]
        last: Chunk = {"choices": [{"delta": delta, "finish_reason": reason}]}
        # A call that said something took tokens, whatever the endpoint says.
        if self._usage is not None and (self._usage.completion_tokens or not self.has_said):
            last["x_groq"] = {"usage": self._usage.to_row()}
        return last

    def _read_choice(self, choice: dict[str, Any]) -> list[Piece]:
        pieces: list[Piece] = []
        delta = choice.get("delta")
        if isinstance(delta, str):
            delta = {"content": delta}
        if not isinstance(delta, dict):
            delta = {}
        is_delta = bool(delta)
        message = choice.get("message")
        if not delta and isinstance(message, dict) and not self._has_delta:
            delta = message
        elif not delta and isinstance(choice.get("text"), str):
            delta = {"content": choice["text"]}
        if delta:
            content = delta.get("content")
            if type(content) is str and len(delta) == 1:
                self._read_text(content, pieces)
            else:
                self._read_delta(delta, pieces)
            if any(value for name, value in delta.items() if name != "role"):
                self.progress += 1
                # Some endpoints send the whole message once more, behind all pieces of it.
                self._has_delta = self._has_delta or is_delta
        if reason := choice.get("finish_reason"):
            self._finish(reason)
        return pieces

    def _read_delta(self, delta: dict[str, Any], pieces: list[Piece]) -> None:
        for field in _REASONING_FIELDS:
            if reasoning := "".join(text for _, text in _texts(delta.get(field), is_reasoning=True)):
                self._stop_assuming()
                self._say_reasoning(reasoning, pieces)
                break
        for is_reasoning, text in _texts(delta.get("content")):
            if is_reasoning:
                self._say_reasoning(text, pieces)
            else:
                self._read_text(text, pieces)
        if refusal := "".join(text for _, text in _texts(delta.get("refusal"))):
            self._is_refusal = True
            self._read_text(refusal, pieces)
        if calls := delta.get("tool_calls"):
            self._calls.add(calls)
        if call := delta.get("function_call"):
            self._calls.add(call)

    def _stop_assuming(self) -> None:
        """Take for text what may have been reasoning."""
        self._assumed = [(False, text) for _, text in self._assumed]
        self._markup.stop_assuming()

    def _say_reasoning(self, text: str, pieces: list[Piece]) -> None:
        if text := self._reasoning.join(text):
            pieces.append((True, text))

    def _read_text(self, text: str, pieces: list[Piece]) -> None:
        if not text:
            return
        text = self._text.join(text)
        if self._is_whole:
            self._waiting.append(text)
            self._waiting_chars += len(text)
            if self._waiting_chars > MAX_HELD_CHARS:
                pieces += self._read_waiting()
        elif text:
            pieces += self._markup.read(text)

    def _read_waiting(self) -> list[Piece]:
        """Read what waited for the answer's end. What follows is read while it comes."""
        text, self._waiting, self._is_whole = "".join(self._waiting), [], False
        return self._markup.read(text)

    def _finish(self, reason: object) -> None:
        name = reason.strip().lower() if isinstance(reason, str) else "other"
        if name in NO_REASONS:
            return
        if name == "error":
            if not self.has_ended:
                raise ModelBadResponse
            return
        if "malformed_function_call" in name and not self.has_said:
            raise ModelToolCallFailed
        self.has_ended = True
        self._reason = FINISH_REASONS.get(name, "other")

    def _skip(self) -> list[Chunk]:
        self.unreadable += 1
        return []

    def _chunks(self, pieces: list[Piece]) -> list[Chunk]:
        """The pieces as chunks. Reasoning and then text may share one; they are shown in this order."""
        if self._markup.is_assumed:
            self._assumed += pieces
            self._assumed_chars += sum(len(text) for _, text in pieces)
            if self._assumed_chars <= MAX_HELD_CHARS:
                return []
            # Nobody knows yet what this is. An answer that never comes would be worse than reasoning in the text.
            self._stop_assuming()
            pieces = []
        if self._assumed:
            pieces, self._assumed = merged([*self._assumed, *pieces]), []
        if not pieces:
            return []
        self.has_said = True
        return [
            {"choices": [{"delta": {"reasoning" if is_reasoning else "content": text}}]}
            for is_reasoning, text in pieces
        ]


def _dumped(arguments: dict[str, Any] | None) -> str:
    """The arguments as JSON; empty where the model sent no object."""
    return "" if arguments is None else json.dumps(arguments)


def _plain_text(event: Any) -> str:  # noqa: ANN401 - what the model sent
    """The text of an event that has a text and nothing else; empty for any other event."""
    try:
        (choice,) = event["choices"]
        delta = choice["delta"]
        text: str = delta["content"]
        if (
            type(text) is str
            and len(delta) == 1
            and not choice.get("finish_reason")
            and "error" not in choice
            and not (event.get("error") or event.get("usage") or event.get("x_groq"))
        ):
            return text
    except (TypeError, LookupError, ValueError, AttributeError):
        pass
    return ""


def _is_flat(event: list[Any]) -> bool:
    return len(event) <= MAX_LIST and not any(isinstance(one, list) for one in event)


def _choice(event: dict[str, Any]) -> dict[str, Any] | None:
    """The first choice of an event; None when it has none, as a ping or a chunk of usage has none."""
    choices = event.get("choices")
    if isinstance(choices, list):
        return next((choice for choice in choices if isinstance(choice, dict)), None)
    return choices if isinstance(choices, dict) and choices else None


def _texts(value: object, depth: int = 0, *, is_reasoning: bool = False) -> list[Piece]:
    """The texts of a content or a reasoning: a string, a part, or a list of these."""
    match value:
        case str():
            return [(is_reasoning, value)] if value else []
        case bool() | None:
            return []
        case int() | float():
            return [(is_reasoning, str(value))]
        case list() if depth < MAX_PART_DEPTH:
            return [piece for part in value for piece in _texts(part, depth + 1, is_reasoning=is_reasoning)]
        case dict() if depth < MAX_PART_DEPTH:
            reasons = is_reasoning or value.get("type") in _REASONING_PARTS or value.get("thought") is True
            field = next((name for name in _TEXT_FIELDS if value.get(name)), "")
            return _texts(value.get(field), depth + 1, is_reasoning=reasons or field in {"thinking", "reasoning"})
        case _:
            return []
