"""What a reader of a log has rendered so far. An attempt that goes on, a save and a closing all use this one rendering."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from shared.protocol import frames
from shared.protocol.encoding import decode
from shared.protocol.frames import Frame
from shared.protocol.message_parts import (
    UNFINISHED_TOOL,
    ApprovalPart,
    CitationsPart,
    MessagePart,
    Source,
    StepStartPart,
    ToolPart,
    is_unfinished,
)


@dataclass(slots=True)
class _GrowingText:
    """A text or reasoning part whose pieces are still coming."""

    type: Literal["text", "reasoning"]
    pieces: list[str] = field(default_factory=list)

    def part(self) -> MessagePart:
        """The part as it is now."""
        text = "".join(self.pieces)
        return {"type": "text", "text": text} if self.type == "text" else {"type": "reasoning", "text": text}


@dataclass(slots=True)
class Transcript:
    """The rendered message, and what is open at its end. `take` gets a log's frames in their order.

    `text_open` and `reasoning_open` are the ids of the parts that are open. `texts` and `reasonings` count the parts of each
    kind, `length` the characters of text. `tools` are the tool calls by their ids. `citations` is the newest part about the
    citations, `approvals` has the newest part about each operation.
    """

    text_open: str | None = None
    reasoning_open: str | None = None
    step_open: bool = False
    texts: int = 0
    reasonings: int = 0
    length: int = 0
    tools: dict[str, ToolPart] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)
    citations: CitationsPart | None = None
    approvals: dict[str, ApprovalPart] = field(default_factory=dict)
    _texts: list[str] = field(default_factory=list)
    _step_from: int = 0
    _silent_from: int = 0
    _step_plain: bool = True
    _step_called: bool = False
    _rendered: list[MessagePart | _GrowingText] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text of the message."""
        return "".join(self._texts)

    @property
    def step_text(self) -> str:
        """The text since the newest step with tool calls: an answer that did not go on has it in several steps."""
        return "".join(self._texts[self._step_from :])

    @property
    def step_is_silent(self) -> bool:
        """Whether the newest step has no text yet."""
        return len(self._texts) == self._silent_from

    @property
    def step_is_plain(self) -> bool:
        """Whether the newest step is text and nothing else. Then a model can go on where the text ends."""
        return self._step_plain

    @property
    def step_called(self) -> bool:
        """Whether tools were called in the step that is open."""
        return self.step_open and self._step_called

    def take(self, frame: Frame) -> None:  # noqa: C901, PLR0912 - one flat case a frame type reads better than a tree
        """Render one more frame."""
        match frame["type"]:
            case "text-start":
                self.text_open = frame["id"]
                self.texts += 1
                self._rendered.append(_GrowingText("text"))
            case "text-delta":
                self._texts.append(frame["delta"])
                self.length += len(frame["delta"])
                self._grow("text", frame["delta"])
            case "text-end":
                self.text_open = None
            case "reasoning-start":
                self.reasoning_open, self._step_plain = frame["id"], False
                self.reasonings += 1
                self._rendered.append(_GrowingText("reasoning"))
            case "reasoning-delta":
                self._grow("reasoning", frame["delta"])
            case "reasoning-end":
                self.reasoning_open = None
            case "start-step":
                if self._step_called:
                    self._step_from = len(self._texts)
                self.step_open, self._silent_from = True, len(self._texts)
                self._step_plain, self._step_called = True, False
                self._rendered.append(StepStartPart(type="step-start"))
            case "finish-step":
                self.step_open = False
            case "tool-input-available":
                self._call(frame)
            case "tool-output-available":
                self.tools[frame["toolCallId"]].update({"state": "output-available", "output": frame["output"]})
            case "tool-output-error":
                self.tools[frame["toolCallId"]].update({"state": "output-error", "errorText": frame["errorText"]})
            case "source-url":
                source: Source = {"sourceId": frame["sourceId"], "url": frame["url"], "title": frame["title"]}
                self.sources.append(source)
                self._rendered.append({"type": "source-url", **source})
            case "data-citations":
                self._cite({"type": "data-citations", "id": frame["id"], "data": frame["data"]})
            case "data-approval":
                self._approve({"type": "data-approval", "id": frame["id"], "data": frame["data"]})
            case _:  # the start and the end of a log, and what a client does not keep
                pass

    def _grow(self, kind: Literal["text", "reasoning"], delta: str) -> None:
        last = self._rendered[-1] if self._rendered else None
        if not isinstance(last, _GrowingText) or last.type != kind:
            last = _GrowingText(kind)  # the beginning of the log was lost
            self._rendered.append(last)
        last.pieces.append(delta)

    def _call(self, frame: frames.ToolInput) -> None:
        self._step_plain, self._step_called = False, True
        tool: ToolPart = {
            "type": "dynamic-tool",
            "toolName": frame["toolName"],
            "toolCallId": frame["toolCallId"],
            "state": "input-available",
            "input": frame["input"],
        }
        if not frame["providerExecuted"]:
            tool["providerExecuted"] = False
        self.tools[frame["toolCallId"]] = tool
        self._rendered.append(tool)

    def _cite(self, part: CitationsPart) -> None:
        """Keep the part. As in a client, it takes the place of an earlier one."""
        if self.citations is None:
            self._rendered.append(part)
        else:
            self._rendered[self._rendered.index(self.citations)] = part
        self.citations = part

    def _approve(self, part: ApprovalPart) -> None:
        """Keep the part. As in a client, it takes the place of an earlier one about the same operation."""
        if part["id"] in self.approvals:
            self._rendered[self._rendered.index(self.approvals[part["id"]])] = part
        else:
            self._rendered.append(part)
        self.approvals[part["id"]] = part

    def parts(self) -> list[MessagePart] | None:
        """The message's parts as a client has them; None when the message is plain text."""
        parts = self.rendered()
        return None if all(part["type"] in {"step-start", "text"} for part in parts) else parts

    def rendered(self) -> list[MessagePart]:
        """All parts that are there so far, those of a plain text too."""
        return [rendered.part() if isinstance(rendered, _GrowingText) else rendered for rendered in self._rendered]

    def closing(self) -> list[Frame]:
        """The frames that end all that is open, tool calls too: nothing more comes."""
        return [*self.ending(), *self.closing_calls()]

    def closing_calls(self) -> list[Frame]:
        """The frames that end tool calls without an outcome. Calls that the client makes need none."""
        unfinished = [call_id for call_id, tool in self.tools.items() if is_unfinished(tool)]
        return [frames.tool_error(call_id, UNFINISHED_TOOL) for call_id in unfinished]

    def ending(self) -> list[Frame]:
        """The frames that end the text or reasoning that is open. Tool calls stay open: another attempt may make them."""
        ending: list[Frame] = []
        if self.reasoning_open is not None:
            ending.append(frames.reasoning_end(self.reasoning_open))
        if self.text_open is not None:
            ending.append(frames.text_end(self.text_open))
        return ending


def read(log: Iterable[bytes]) -> Transcript:
    """The transcript of encoded frames."""
    transcript = Transcript()
    for encoded in log:
        transcript.take(decode(encoded))
    return transcript
