"""The frames that lead a reader from what is rendered to what is saved."""

from collections.abc import Iterable, Sequence

from shared.protocol import frames
from shared.protocol.frames import Frame
from shared.protocol.message_parts import MessagePart, ToolPart
from shared.protocol.transcript import Transcript


def catch_up_text(transcript: Transcript, content: str) -> list[Frame]:
    """The frames that add the rest of `content` to what is rendered; none where `content` does not continue the text."""
    if len(content) <= transcript.length or not content.startswith(transcript.text):
        return []
    catching_up: list[Frame] = []
    if transcript.reasoning_open is not None:
        catching_up.append(frames.reasoning_end(transcript.reasoning_open))
    text_id = transcript.text_open
    if text_id is None:
        text_id = str(transcript.texts)
        catching_up.append(frames.text_start(text_id))
    return [*catching_up, frames.text_delta(text_id, content[transcript.length :])]


def catch_up_parts(transcript: Transcript, parts: Sequence[MessagePart]) -> list[Frame]:
    """The frames that lead a reader from what is rendered to these parts, for a log that has lost its end, or all of itself.

    None where what is rendered is not how these parts began. What is rendered beyond them stays as it is.
    """
    rendered = transcript.rendered()
    catching_up: list[Frame] = []
    for shown, saved in zip(rendered, parts, strict=False):
        missing = _missing(transcript, shown, saved)
        if missing is None:
            return []
        catching_up += missing
    rest = parts[len(rendered) :]
    if rest:
        catching_up += transcript.ending()
    return [*catching_up, *_render(rest, transcript)]


def _missing(  # noqa: PLR0911 - one flat case a part type
    transcript: Transcript, shown: MessagePart, saved: MessagePart
) -> list[Frame] | None:
    """The frames that lead from a part as it is shown to the same part as it was saved; None where it is another part."""
    if shown["type"] == "text" and saved["type"] == "text":
        delta = _rest(shown["text"], saved["text"], transcript.text_open)
        return delta if delta is None else [frames.text_delta(str(transcript.text_open), one) for one in delta]
    if shown["type"] == "reasoning" and saved["type"] == "reasoning":
        delta = _rest(shown["text"], saved["text"], transcript.reasoning_open)
        return (
            delta if delta is None else [frames.reasoning_delta(str(transcript.reasoning_open), one) for one in delta]
        )
    if shown["type"] == "dynamic-tool" and saved["type"] == "dynamic-tool":
        if shown["toolCallId"] != saved["toolCallId"]:
            return None
        return _outcome(saved) if shown["state"] == "input-available" else []
    if shown["type"] == "data-approval" and saved["type"] == "data-approval":
        if shown["id"] != saved["id"]:
            return None
        return _render([saved]) if shown["data"]["status"] == "proposed" and shown != saved else []
    if shown["type"] == "data-citations" and saved["type"] == "data-citations":
        return _render([saved]) if shown != saved else []
    return [] if shown == saved else None


def _rest(shown: str, saved: str, open_id: str | None) -> list[str] | None:
    """What a text lacks, empty where it lacks nothing; None where it is another text, or is ended."""
    if len(saved) <= len(shown):
        return [] if shown.startswith(saved) else None
    return [saved[len(shown) :]] if saved.startswith(shown) and open_id is not None else None


def parts_to_frames(parts: Iterable[MessagePart]) -> list[Frame]:
    """The frames that render these parts: for a message whose own log is gone."""
    return _render(parts)


def _outcome(part: ToolPart) -> list[Frame]:
    if part["state"] == "output-available":
        return [frames.tool_output(part["toolCallId"], part["output"])]
    return [frames.tool_error(part["toolCallId"], part["errorText"])] if part["state"] == "output-error" else []


def _render(parts: Iterable[MessagePart], behind: Transcript | None = None) -> list[Frame]:
    """The frames that render these parts, behind what is rendered already."""
    behind = behind or Transcript()
    rendering: list[Frame] = []
    step_open, texts, reasonings = behind.step_open, behind.texts, behind.reasonings
    for part in parts:
        match part["type"]:
            case "step-start":
                rendering += [frames.finish_step()] if step_open else []
                rendering.append(frames.start_step())
                step_open = True
            case "text":
                text_id, texts = str(texts), texts + 1
                rendering += [frames.text_start(text_id), frames.text_delta(text_id, part["text"])]
                rendering.append(frames.text_end(text_id))
            case "reasoning":
                text_id, reasonings = f"r{reasonings}", reasonings + 1
                rendering += [frames.reasoning_start(text_id), frames.reasoning_delta(text_id, part["text"])]
                rendering.append(frames.reasoning_end(text_id))
            case "dynamic-tool":
                by_client = not part.get("providerExecuted", True)
                called = (part["toolCallId"], part["toolName"], part["input"])
                rendering.append(frames.tool_input(*called, by_client=by_client))
                rendering += _outcome(part)
            case "source-url":
                rendering.append(frames.source_url(part["sourceId"], part["url"], part["title"]))
            case "data-citations":
                rendering.append(frames.citations(part["data"]["withoutSource"]))
            case "data-approval":
                rendering.append(frames.approval(part["id"], part["data"]["toolCallId"], part["data"]["status"]))
    return rendering
