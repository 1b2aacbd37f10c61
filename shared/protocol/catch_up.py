"""The frames that lead a reader from what is rendered to what is saved."""

from collections.abc import Iterable

from shared.protocol import frames
from shared.protocol.frames import Frame
from shared.protocol.message_parts import MessagePart
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


def parts_to_frames(parts: Iterable[MessagePart]) -> list[Frame]:  # noqa: C901 - one flat case a part type
    """The frames that render these parts: for a message whose own log is gone."""
    rendering: list[Frame] = []
    step_open = False
    texts = reasonings = 0
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
                rendering.append(frames.tool_input(part["toolCallId"], part["toolName"], part["input"]))
                if part["state"] == "output-available":
                    rendering.append(frames.tool_output(part["toolCallId"], part["output"]))
                elif part["state"] == "output-error":
                    rendering.append(frames.tool_error(part["toolCallId"], part["errorText"]))
            case "source-url":
                rendering.append(frames.source_url(part["sourceId"], part["url"], part["title"]))
            case "data-citations":
                rendering.append(frames.citations(part["data"]["withoutSource"]))
            case "data-approval":
                rendering.append(frames.approval(part["id"], part["data"]["toolCallId"], part["data"]["status"]))
    return rendering
