"""The events of a response: a pure function of the answer's content. Source: docs/protocol.md, "Responses".

Log and row tell the same content in other frames: a log is cut where tokens came, a row has whole parts, and a worker that takes
over adds frames of its own. So nothing here depends on how the frames are cut:

* Text becomes deltas of lengths that the place in the text decides alone (`_next_cut`). An incomplete piece waits for its end.
* Texts that nothing but the border of a step separates are one message: a row may keep them as one.
* What became of a step's tool calls is told when the step is over, in the order of the calls.
* Reasoning that breaks into a message is told behind the message, so that the message stays one.

A number counts content: characters of text, and one for each other event. An event has the number of its last character. Two
numbers are kept free for reasoning in front of each message, of each step's calls and of the end, whether there is any or not:
the text's numbers stay the same where reasoning was lost together with its log. One is kept free behind each request for
approval: for the event that says that the answer waits, which is told only while it does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple
from uuid import UUID

from services.api.doors.openai.responses.output_items import (
    SERVER_LABEL,
    WEB_SEARCH,
    Call,
    Item,
    Json,
    Text,
    approval_id,
    arguments_of,
    call_item,
    prefix_of,
    text_part,
)
from shared.ids import OperationId
from shared.protocol.citations import citations_of
from shared.protocol.frames import DataApproval, Frame, SourceUrl, ToolError, ToolInput, ToolOutput

CREATED: Final = 0
IN_PROGRESS: Final = 1
FOR_PAUSE: Final = 1
FOR_REASONING: Final = 2
"""How many numbers are kept free for a reasoning item: its beginning and its end."""
_SINGLE_UNTIL: Final = 16
_SHORT_UNTIL: Final = 1024
_SHORT: Final = 4
_LONG: Final = 16

EndKind = Literal["completed", "length", "content_filter", "failed", "cancelled"]
"""How an answer ended."""


class Event(NamedTuple):
    """One event. `number` is its sequence number, `body` what it has besides its number and its type.

    `delta` is the text of a delta, whose number is that of its last character; "" for all other events.
    """

    number: int
    type: str
    body: Json
    delta: str = ""

    def after(self, number: int) -> "Event | None":
        """What comes of the event behind a number: all of it, the end of its text, or None."""
        if self.number <= number:
            return None
        told = number - (self.number - len(self.delta))
        return self._replace(delta=self.delta[told:]) if self.delta and told > 0 else self

    def to_json(self) -> Json:
        """The event as it is sent."""
        delta = {"delta": self.delta} if self.delta else {}
        return {"type": self.type, "sequence_number": self.number, **self.body, **delta}


def _next_cut(told: int) -> int:
    """Where the delta ends that begins behind so many characters of a text. The first characters come at once."""
    if told < _SINGLE_UNTIL:
        return told + 1
    length = _SHORT if told < _SHORT_UNTIL else _LONG
    return (told // length + 1) * length


@dataclass(slots=True)
class ResponseEvents:
    """Makes the events of one reply of its frames, which `take` gets in their order.

    `output` are all items so far, by index; those that are open as they began. `number` is the last number of content.
    `end` is how the answer ended; None before. Without `with_deltas`, no deltas of text are made: for who needs `output` alone.
    """

    reply_id: int
    number: int = IN_PROGRESS
    output: list[Json] = field(default_factory=list)
    end: EndKind | None = None
    with_deltas: bool = True
    _reasoning: Text | None = None
    _message: Text | None = None
    _held: list[str] = field(default_factory=list)
    _calls: list[Call] = field(default_factory=list)
    _sources: list[SourceUrl] = field(default_factory=list)
    _items: int = 0

    def take(self, frame: Frame) -> list[Event]:  # noqa: C901, PLR0911 - one flat case a frame type
        """The events that one more frame adds. The terminal event is none of them: it has `end_number`."""
        match frame["type"]:
            case "text-delta":
                return self._say(frame["delta"])
            case "reasoning-delta":
                return self._think(frame["delta"])
            case "tool-input-available":
                return self._call(frame)
            case "tool-output-available" | "tool-output-error":
                return self._settle(frame)
            case "source-url":
                return self._add_source(frame)
            case "data-approval":
                return self._ask(frame)
            case "start-step":
                return self._end_calls() if all(call.outcome or call.is_by_client for call in self._calls) else []
            case "finish":
                reason = frame["finishReason"]
                ends: dict[str, EndKind] = {"length": "length", "content-filter": "content_filter"}
                return self._end(ends.get(reason, "completed"))
            case "error":
                return self._end("failed")
            case "abort":
                return self._end("cancelled")
            case _:  # borders of parts and steps, and what is no content
                pass
        return []

    @property
    def end_number(self) -> int:
        """The number of the terminal event."""
        return self.number + 1

    @property
    def asked(self) -> list[OperationId]:
        """The operations for whose approval the answer waits, as far as its frames say; none where it does not wait.

        Calls are made at once, so each other call of the step has its outcome in the log before.
        """
        waiting = [call.approval for call in self._calls if call.approval is not None and not call.is_decided]
        others = all(call.outcome is not None or call.approval is not None for call in self._calls)
        return [OperationId(UUID(operation_id)) for operation_id in waiting] if others else []

    def _say(self, delta: str) -> list[Event]:
        if not delta:
            return []
        events: list[Event] = []
        if self._message is None:
            events += [*self._end_calls(), *self._end_reasoning()]
            self.number += FOR_REASONING
            self._message = Text(*self._new_item("msg"))
            events += self._begin_message(self._message)
        self._message.pieces.append(delta)
        if self.with_deltas:
            self._message.waiting += delta
        return [*events, *self._tell_text(self._message)]

    def _begin_message(self, message: Text) -> list[Event]:
        item = {"type": "message", "id": message.id, "status": "in_progress", "role": "assistant", "content": []}
        return [
            self._added(message, item),
            self._event("response.content_part.added", message.at(content_index=0, part=text_part(""))),
        ]

    def _tell_text(self, message: Text, *, is_whole: bool = False) -> list[Event]:
        """The deltas that are complete; those that are not, too, where the text is whole."""
        events: list[Event] = []
        begin, waiting = 0, message.waiting
        while begin < len(waiting):
            length = _next_cut(message.told) - message.told
            if begin + length > len(waiting) and not is_whole:
                break
            piece = waiting[begin : begin + length]
            begin, message.told, self.number = begin + len(piece), message.told + len(piece), self.number + len(piece)
            body = message.at(content_index=0, logprobs=[])
            events.append(Event(self.number, "response.output_text.delta", body, piece))
        message.waiting = waiting[begin:]
        return events

    def _end_message(self, *, is_broken: bool = False) -> list[Event]:
        message, self._message = self._message, None
        if message is None:
            return []
        events, text = self._tell_text(message, is_whole=True), message.text
        cited = self._cited(text)
        for number, annotation in enumerate(cited):
            told = message.at(content_index=0, annotation_index=number, annotation=annotation)
            events.append(self._event("response.output_text.annotation.added", told))
        part = {**text_part(text), "annotations": cited}
        item = {
            "type": "message",
            "id": message.id,
            "status": "incomplete" if is_broken else "completed",
            "role": "assistant",
            "content": [part],
        }
        done = message.at(content_index=0, text=text, logprobs=[])
        events.append(self._event("response.output_text.done", done))
        events.append(self._event("response.content_part.done", message.at(content_index=0, part=part)))
        return [*events, self._done(message, item)]

    def _cited(self, text: str) -> list[Json]:
        """The sources that a text cites by their numbers, each at its place. Only what was found before can be cited."""
        return [
            {
                "type": "url_citation",
                "start_index": citation.begin,
                "end_index": citation.end,
                "url": self._sources[number - 1]["url"],
                "title": self._sources[number - 1]["title"],
            }
            for citation in citations_of(text)
            for number in citation.numbers
            if number <= len(self._sources)
        ]

    def _think(self, delta: str) -> list[Event]:
        if not delta:
            return []
        if self._message is not None:
            self._held.append(delta)
            return []
        events = self._end_calls()
        if self._reasoning is None:
            events += self._begin_reasoning()
        if self._reasoning is not None:
            self._reasoning.pieces.append(delta)
        return events

    def _begin_reasoning(self) -> list[Event]:
        self._reasoning = Text(*self._new_item("rs", is_counted=False))
        item = {"type": "reasoning", "id": self._reasoning.id, "status": "in_progress", "summary": [], "content": []}
        self.output[self._reasoning.index] = item
        body = {"output_index": self._reasoning.index, "item": item}
        return [Event(self.number + 1, "response.output_item.added", body)]

    def _end_reasoning(self) -> list[Event]:
        """End the reasoning that is open, or tell what was held back while a message was open. Neither moves the number."""
        begun = self._begin_reasoning() if self._held else []
        reasoning, self._reasoning = self._reasoning, None
        if reasoning is None:
            return []
        content = [{"type": "reasoning_text", "text": reasoning.text + "".join(self._held)}]
        self._held.clear()
        item = {
            "type": "reasoning",
            "id": reasoning.id,
            "status": "completed",
            "summary": [],
            "content": content,
        }
        self.output[reasoning.index] = item
        body = {"output_index": reasoning.index, "item": item}
        return [*begun, Event(self.number + FOR_REASONING, "response.output_item.done", body)]

    def _call(self, frame: ToolInput) -> list[Event]:
        events = [*self._end_message(), *self._end_reasoning()]
        if not self._calls:
            self.number += FOR_REASONING
        call = Call(*self._new_item(prefix_of(frame)), frame)
        self._calls.append(call)
        events.append(self._added(call, call_item(call, "in_progress")))
        if call.is_by_client:
            return [*events, *self._arguments(call, "function_call"), self._done(call, call_item(call, "completed"))]
        if frame["toolName"] == WEB_SEARCH:
            events.append(self._event("response.web_search_call.in_progress", call.at()))
            events.append(self._event("response.web_search_call.searching", call.at()))
        else:
            events.append(self._event("response.mcp_call.in_progress", call.at()))
            events += self._arguments(call, "mcp_call")
        return events

    def _arguments(self, call: Call, kind: str) -> list[Event]:
        arguments = arguments_of(call.frame)
        # One delta, which counts as one: whoever has a part of it has none of it.
        return [
            self._event(f"response.{kind}_arguments.delta", call.at(delta=arguments)),
            self._event(f"response.{kind}_arguments.done", call.at(name=call.frame["toolName"], arguments=arguments)),
        ]

    def _settle(self, frame: ToolOutput | ToolError) -> list[Event]:
        call = self._find_call(frame["toolCallId"])
        if call is not None:
            call.outcome = frame
        return []  # it is told when the step is over

    def _add_source(self, frame: SourceUrl) -> list[Event]:
        self._sources.append(frame)
        call = self._find_call(frame["sourceId"].rpartition("-")[0])
        if call is not None:
            call.urls.append(frame["url"])
        return []

    def _ask(self, frame: DataApproval) -> list[Event]:
        """Ask for a decision, once: later frames about the same operation tell what became of it."""
        call = self._find_call(frame["data"]["toolCallId"])
        if call is None:
            return []
        call.is_decided = frame["data"]["status"] != "proposed"
        if call.approval is not None:
            return []
        call.approval = frame["id"]
        request = Item(self._new_item("mcpr")[0], approval_id(frame["id"]))
        item = {
            "type": "mcp_approval_request",
            "id": request.id,
            "server_label": SERVER_LABEL,
            "name": call.frame["toolName"],
            "arguments": arguments_of(call.frame),
        }
        events = [self._added(request, item), self._done(request, item)]
        self.number += FOR_PAUSE
        return events

    def _find_call(self, call_id: str) -> Call | None:
        return next((call for call in self._calls if call.frame["toolCallId"] == call_id), None)

    def _end_calls(self) -> list[Event]:
        """The outcomes of the newest step's calls, in their order. Afterwards there is no such step."""
        events: list[Event] = []
        for call in self._calls:
            if call.is_by_client:
                continue
            has_failed = call.outcome is None or call.outcome["type"] == "tool-output-error"
            status = "failed" if has_failed else "completed"
            if call.frame["toolName"] == WEB_SEARCH:
                if not has_failed:
                    events.append(self._event("response.web_search_call.completed", call.at()))
            else:
                events.append(self._event(f"response.mcp_call.{status}", call.at()))
            events.append(self._done(call, call_item(call, status)))
        self._calls = []
        return events

    def _end(self, kind: EndKind) -> list[Event]:
        events = [*self._end_message(is_broken=kind != "completed"), *self._end_calls(), *self._end_reasoning()]
        self.number += FOR_REASONING
        self.end = kind
        return events

    def _new_item(self, prefix: str, *, is_counted: bool = True) -> tuple[int, str]:
        """The index and the id of a new item. The ids of all but reasoning stay the same where reasoning was lost."""
        self.output.append({})
        item_id = f"{prefix}_{self.reply_id}_{self._items}"
        self._items += is_counted
        return len(self.output) - 1, item_id

    def _event(self, kind: str, body: Json) -> Event:
        self.number += 1
        return Event(self.number, kind, body)

    def _added(self, at: Item, item: Json) -> Event:
        self.output[at.index] = item
        return self._event("response.output_item.added", {"output_index": at.index, "item": item})

    def _done(self, at: Item, item: Json) -> Event:
        self.output[at.index] = item
        return self._event("response.output_item.done", {"output_index": at.index, "item": item})


def events_of(reply_id: int, frames: Iterable[Frame]) -> tuple[list[Event], ResponseEvents]:
    """All events of these frames, and their maker behind them."""
    maker = ResponseEvents(reply_id)
    return [event for frame in frames for event in maker.take(frame)], maker


def output_of(reply_id: int, frames: Sequence[Frame]) -> list[Json]:
    """The output items of an answer, of all of its frames so far."""
    maker = ResponseEvents(reply_id, with_deltas=False)
    for frame in frames:
        maker.take(frame)
    return maker.output
