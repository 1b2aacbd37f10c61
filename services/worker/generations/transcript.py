"""What a reader of a log has rendered so far. Pure: the same fold whether an attempt goes on or the sweep closes a log."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from shared import frames


@dataclass(frozen=True, slots=True)
class Transcript:
    """The rendered text, and what is open at its end."""

    text: str = ""
    step_open: bool = False
    text_open: str | None = None
    texts: int = 0

    def after(self, part: frames.Part) -> "Transcript":
        """The transcript with one part more."""
        match part:
            case {"type": "start-step"}:
                return replace(self, step_open=True)
            case {"type": "finish-step"}:
                return replace(self, step_open=False)
            case {"type": "text-start", "id": str(text_id)}:
                return replace(self, text_open=text_id, texts=self.texts + 1)
            case {"type": "text-delta", "delta": str(delta)}:
                return replace(self, text=self.text + delta)
            case {"type": "text-end"}:
                return replace(self, text_open=None)
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
