r"""The stream's vocabulary: the AI SDK's UI Message Stream v1, and its encoding to bytes, once.

An encoded frame is `data: <json>\n\n`: what goes to the browser behind the `id:` line that the relay puts before it.
Order is strict: no delta or end without its start; a text part is ended before the terminal part. Source: docs/protocol.md §2.
"""

import json
import re
from typing import Any, Final, Literal

from shared.ids import GenerationId, MessageId

FinishReason = Literal["stop", "length", "content-filter", "tool-calls", "error", "other"]
Part = dict[str, Any]

DONE: Final = b"data: [DONE]\n\n"
PING: Final = b": ping\n\n"
OPENING: Final = b": open\nretry: 1000\n\n"
PREFIX: Final = b"data: "
RESET: Final = b'data: {"type":"data-reset","data":{},"transient":true}\n\n'
"""Before a full replay to a client that had asked for less: what it has is not in the log. It is in no log, so it has no id."""

# Neither can be trusted to be absent: \u0000 and \ud800 are legal JSON.
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")

# They end no line in SSE, but they do for some clients' line splitters (Python's, for one); JSON lets them be escaped.
LINE_ENDS: Final = (("\u0085", "\\u0085"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


def encode(part: Part) -> bytes:
    """The frame of a part: one `data:` line, whatever the part's texts hold.

    Raises:
        UnicodeEncodeError: a text has a lone surrogate; `clean` it first.

    """
    line = json.dumps(part, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for end, escape in LINE_ENDS:
        if end in line:
            line = line.replace(end, escape)
    return b"data: %b\n\n" % line.encode()


def decode(frame: bytes) -> Part:
    """The part that `encode` made this frame of."""
    part: Part = json.loads(frame.removeprefix(PREFIX))
    return part


def clean(text: str) -> str:
    """`text` without what PostgreSQL or UTF-8 can't hold: NUL and lone surrogates become U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def start(message_id: MessageId, generation_id: GenerationId) -> Part:
    """Opens the log of a generation. A second `start` with the same message id continues the same message."""
    return {"type": "start", "messageId": str(message_id), "messageMetadata": {"generationId": str(generation_id)}}


def start_step() -> Part:
    """Opens one model call."""
    return {"type": "start-step"}


def finish_step() -> Part:
    """Ends one model call."""
    return {"type": "finish-step"}


def text_start(text_id: str) -> Part:
    """Opens a text part. Its id is unique within the message."""
    return {"type": "text-start", "id": text_id}


def text_delta(text_id: str, delta: str) -> Part:
    """More of a text part."""
    return {"type": "text-delta", "id": text_id, "delta": delta}


def text_end(text_id: str) -> Part:
    """Ends a text part."""
    return {"type": "text-end", "id": text_id}


def reasoning_start(reasoning_id: str) -> Part:
    """Opens a part of the model's reasoning, which is no content."""
    return {"type": "reasoning-start", "id": reasoning_id}


def reasoning_delta(reasoning_id: str, delta: str) -> Part:
    """More of a reasoning part."""
    return {"type": "reasoning-delta", "id": reasoning_id, "delta": delta}


def reasoning_end(reasoning_id: str) -> Part:
    """Ends a reasoning part."""
    return {"type": "reasoning-end", "id": reasoning_id}


def tool_input(call_id: str, name: str, given: dict[str, Any]) -> Part:
    """A tool is called. It runs here, and the client need not know it."""
    return {
        "type": "tool-input-available",
        "toolCallId": call_id,
        "toolName": name,
        "input": given,
        "providerExecuted": True,
        "dynamic": True,
    }


def tool_output(call_id: str, output: Any) -> Part:  # noqa: ANN401 - whatever JSON the tool gives
    """What a called tool gave."""
    return {
        "type": "tool-output-available",
        "toolCallId": call_id,
        "output": output,
        "providerExecuted": True,
        "dynamic": True,
    }


def tool_error(call_id: str, text: str) -> Part:
    """Why a called tool gave nothing."""
    return {
        "type": "tool-output-error",
        "toolCallId": call_id,
        "errorText": text,
        "providerExecuted": True,
        "dynamic": True,
    }


def source(source_id: str, url: str, title: str) -> Part:
    """A page that the answer may rest on."""
    return {"type": "source-url", "sourceId": source_id, "url": url, "title": title}


def data(name: str, value: dict[str, Any], *, transient: bool = True) -> Part:
    """A part of our own, `data-<name>`. A transient one is not kept in the client's message."""
    return {"type": f"data-{name}", "data": value, **({"transient": True} if transient else {})}


def finish(reason: FinishReason, metadata: dict[str, Any] | None = None) -> Part:
    """Terminal: the answer is complete."""
    return {"type": "finish", "finishReason": reason, **({"messageMetadata": metadata} if metadata else {})}


def error(text: str, code: str) -> Part:
    """Terminal: the answer failed. `code` is stable (docs/protocol.md, error codes)."""
    return {"type": "error", "errorText": text, "code": code}


def abort(reason: str) -> Part:
    """Terminal: the answer was stopped on request."""
    return {"type": "abort", "reason": reason}


def ending(
    status: str,
    *,
    finish_reason: FinishReason | None = None,
    error_code: str | None = None,
    error_message: str | None = None,
    usage: dict[str, int] | None = None,
) -> list[Part]:
    """The parts that end the log of a generation with this terminal status, the terminal one last. Texts are ended before."""
    match status:
        case "failed":
            return [error(error_message or "The answer failed.", error_code or "internal_error")]
        case "cancelled":
            return [abort("cancelled")]
        case _:
            return [finish_step(), finish(finish_reason or "stop", {"usage": usage} if usage else None)]
