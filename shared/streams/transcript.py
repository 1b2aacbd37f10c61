"""What a reader of a log has rendered so far. Pure: the same fold whether an attempt goes on or somebody closes a log."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from shared import frames


@dataclass(frozen=True, slots=True)
class Transcript:
    """The rendered text, and what is open at its end.

    It is `plain` when it is text and nothing else: then a model can go on where it ends.
    """

    text: str = ""
    step_open: bool = False
    text_open: str | None = None
    texts: int = 0
    plain: bool = True

    def after(self, part: frames.Part) -> "Transcript":
        """The transcript with one part more."""
        match part:
            case {"type": "start-step" | "finish-step" as kind}:
                return replace(self, step_open=kind == "start-step")
            case {"type": "text-start", "id": str(text_id)}:
                return replace(self, text_open=text_id, texts=self.texts + 1)
            case {"type": "text-delta", "delta": str(delta)}:
                return replace(self, text=self.text + delta)
            case {"type": "text-end"}:
                return replace(self, text_open=None)
            case {"type": "reasoning-start" | "tool-input-available"}:
                return replace(self, plain=False)
            case _:
                return self


def read(log: Iterable[bytes]) -> Transcript:
    """The transcript of encoded frames."""
    transcript = Transcript()
    deltas: list[str] = []
    for frame in log:
        part = frames.decode(frame)
        if part["type"] == "text-delta":
            deltas.append(part["delta"])
        else:
            transcript = transcript.after(part)
    return replace(transcript, text="".join(deltas))


def missing(transcript: Transcript, content: str) -> list[frames.Part]:
    """The parts that lead a reader from what it has rendered to `content`; none where that is no continuation of it."""
    if len(content) <= len(transcript.text) or not content.startswith(transcript.text):
        return []
    text_id = transcript.text_open
    opening = [] if text_id is not None else [frames.text_start(str(transcript.texts))]
    text_id = str(transcript.texts) if text_id is None else text_id
    return [*opening, frames.text_delta(text_id, content[len(transcript.text) :])]
