"""What a reader of a log has rendered so far. The same fold whether an attempt goes on, a reply is saved, or a log is closed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.protocol import frames


@dataclass(slots=True)
class Transcript:
    """The rendered message, and what is open at its end. Takes a log's parts in their order.

    `length` counts the characters of text. `tools` are the tool calls by their ids, as they are rendered.
    """

    text_open: str | None = None
    reasoning_open: str | None = None
    step_open: bool = False
    texts: int = 0
    reasonings: int = 0
    length: int = 0
    tools: dict[str, dict[str, Any]] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)
    _said: list[str] = field(default_factory=list)
    _step_from: int = 0
    _step_plain: bool = True
    _rendered: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of its text."""
        return "".join(self._said)

    @property
    def step_text(self) -> str:
        """The text of the step that is open, or was last."""
        return "".join(self._said[self._step_from :])

    @property
    def step_is_plain(self) -> bool:
        """Whether that step is text and nothing else: then a model can go on where it ends."""
        return self._step_plain

    @property
    def step_called(self) -> bool:
        """Whether tools were called in the step that is open."""
        return self.step_open and any(
            rendered["type"] == "dynamic-tool" for rendered in self._rendered[self._last_step() :]
        )

    def _last_step(self) -> int:
        starts = [at for at, rendered in enumerate(self._rendered) if rendered["type"] == "step-start"]
        return starts[-1] if starts else 0

    def take(self, part: frames.Part) -> None:
        """Render one part more."""
        match part:
            case {"type": "text-delta", "delta": str(delta)}:
                self._said.append(delta)
                self.length += len(delta)
                self._add("text", delta)
            case {"type": "reasoning-delta", "delta": str(delta)}:
                self._add("reasoning", delta)
            case {"type": "text-start", "id": str(text_id)}:
                self.text_open = text_id
                self.texts += 1
                self._rendered.append({"type": "text", "text": []})
            case {"type": "text-end"}:
                self.text_open = None
            case {"type": "reasoning-start", "id": str(reasoning_id)}:
                self.reasoning_open, self._step_plain = reasoning_id, False
                self.reasonings += 1
                self._rendered.append({"type": "reasoning", "text": []})
            case {"type": "reasoning-end"}:
                self.reasoning_open = None
            case _:
                self._take_step(part)

    def _add(self, kind: str, delta: str) -> None:
        if not self._rendered or self._rendered[-1]["type"] != kind:
            self._rendered.append({"type": kind, "text": []})  # a log whose beginning was lost
        self._rendered[-1]["text"].append(delta)

    def _take_step(self, part: frames.Part) -> None:
        match part:
            case {"type": "start-step"}:
                self.step_open, self._step_from, self._step_plain = True, len(self._said), True
                self._rendered.append({"type": "step-start"})
            case {"type": "finish-step"}:
                self.step_open = False
            case _:
                self._take_tool(part)

    def _take_tool(self, part: frames.Part) -> None:
        match part:
            case {"type": "tool-input-available", "toolCallId": str(call_id), "toolName": name, "input": given}:
                self._step_plain = False
                tool = {
                    "type": "dynamic-tool",
                    "toolName": name,
                    "toolCallId": call_id,
                    "state": "input-available",
                    "input": given,
                }
                self.tools[call_id] = tool
                self._rendered.append(tool)
            case {"type": "tool-output-available", "toolCallId": str(call_id), "output": output}:
                self.tools[call_id] |= {"state": "output-available", "output": output}
            case {"type": "tool-output-error", "toolCallId": str(call_id), "errorText": text}:
                self.tools[call_id] |= {"state": "output-error", "errorText": text}
            case {"type": "source-url"}:
                self.sources.append({name: part[name] for name in ("sourceId", "url", "title")})
                self._rendered.append({"type": "source-url", **self.sources[-1]})
            case _:
                pass

    def parts(self) -> list[dict[str, Any]] | None:
        """The message's parts, as the AI SDK's UIMessage has them; None when its text says it all."""
        if all(rendered["type"] in {"step-start", "text"} for rendered in self._rendered):
            return None
        return [
            {**rendered, "text": "".join(rendered["text"])} if "text" in rendered else dict(rendered)
            for rendered in self._rendered
        ]

    def ending(self) -> list[frames.Part]:
        """The parts that end what is open, before the log's own end."""
        parts = []
        if self.reasoning_open is not None:
            parts.append(frames.reasoning_end(self.reasoning_open))
        if self.text_open is not None:
            parts.append(frames.text_end(self.text_open))
        return parts


def read(log: Iterable[bytes]) -> Transcript:
    """The transcript of encoded frames."""
    transcript = Transcript()
    for frame in log:
        transcript.take(frames.decode(frame))
    return transcript


def catch_up_text(transcript: Transcript, content: str) -> list[frames.Part]:
    """The parts that lead a reader from what it has rendered to `content`; none where that is no continuation of it."""
    if len(content) <= transcript.length or not content.startswith(transcript.text):
        return []
    text_id = transcript.text_open
    opening = [] if text_id is not None else [frames.text_start(str(transcript.texts))]
    if transcript.reasoning_open is not None:
        opening.insert(0, frames.reasoning_end(transcript.reasoning_open))
    text_id = str(transcript.texts) if text_id is None else text_id
    return [*opening, frames.text_delta(text_id, content[transcript.length :])]


def parts_to_frames(parts: Sequence[dict[str, Any]]) -> list[frames.Part]:
    """The parts of a log that render these parts of a message: for when its own log is gone."""
    told: list[frames.Part] = []
    step_open = False
    for number, part in enumerate(parts):
        match part:
            case {"type": "step-start"}:
                told += [frames.finish_step()] if step_open else []
                told.append(frames.start_step())
                step_open = True
            case {"type": "text", "text": str(text)}:
                told += [
                    frames.text_start(str(number)),
                    frames.text_delta(str(number), text),
                    frames.text_end(str(number)),
                ]
            case {"type": "reasoning", "text": str(text)}:
                thought = f"r{number}"
                told += [frames.reasoning_start(thought), frames.reasoning_delta(thought, text)]
                told.append(frames.reasoning_end(thought))
            case {"type": "dynamic-tool", "toolCallId": call_id, "toolName": name, "input": given}:
                told.append(frames.tool_input(call_id, name, given))
                if part["state"] == "output-available":
                    told.append(frames.tool_output(call_id, part["output"]))
                elif part["state"] == "output-error":
                    told.append(frames.tool_error(call_id, part["errorText"]))
            case {"type": "source-url"}:
                told.append(frames.source(part["sourceId"], part["url"], part["title"]))
            case _:
                pass
    return told
