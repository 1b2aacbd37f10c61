"""The stream of a client that asks its user for approvals: it ends where a person has to decide.

useChat sends a decision only while nothing streams. So the body ends behind the frames that ask, while the generation waits,
and the request that has the decision streams the rest. All other frames are the log's own bytes. Source: docs/protocol.md, the
AI SDK's door.
"""

import re
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.responses import Response

from services.api.doors.ai_sdk.operation_queries import awaits_person
from services.api.doors.responses import stream_response
from services.api.streaming.follow import FollowedGeneration, Logged, StreamCut, StreamEvent, follow
from services.api.streaming.resume import Live, Saved
from shared.database.engine import Database
from shared.ids import GenerationId, MessageId, OperationId
from shared.protocol.encoding import PREFIX, decode
from shared.protocol.frames import DataApproval, Frame, ToolInput
from shared.protocol.json_lines import json_line
from shared.streams.port import Entry, Offset

HEADER: Final = "X-AI-SDK-Approvals"
KNOWN_SINCE: Final = 6
"""The first major version of the SDK that has approvals. Earlier ones refuse a frame of a type that they don't know."""
_VERSION: Final = re.compile(r"(?:^|\s)ai-sdk/(\d{1,4})\.", re.ASCII)
_LOOKED_INTO: Final = tuple(
    b'data: {"type":"%b"' % kind
    for kind in (b"start", b"tool-input-available", b"tool-output-available", b"tool-output-error", b"data-approval")
)


def knows_approvals(headers: Headers) -> bool:
    """Whether a client asks its user for approvals: it says so, or is of a version of the SDK that does."""
    if HEADER in headers:
        return headers[HEADER].strip() == "1"
    found = _VERSION.search(headers.get("user-agent", ""))
    return found is not None and int(found[1]) >= KNOWN_SINCE


def approval_response(
    database: Database,
    stream: Saved | Live | None,
    generation_id: GenerationId,
    message_id: MessageId,
    answered: Mapping[OperationId, str] | None = None,
) -> Response:
    """A generation's frames for a client that knows approvals, as `responses.stream_response` has them for all others.

    `answered` are operations that the client was asked about, each with its tool call: then the client has the answer up to
    there, and gets the rest.
    """
    asking = AskingStream(answered)
    if isinstance(stream, Saved):
        stream = Saved(asking.take(stream.entries), stream.after)
    return stream_response(stream, generation_id, message_id, events=partial(_until_asked, database, asking))


async def _until_asked(
    database: Database, asking: "AskingStream", generation: FollowedGeneration, after: Offset
) -> AsyncGenerator[StreamEvent, None]:
    """What happens to a generation, as `follow` has it, until a person has to decide.

    Raises:
        StreamCut: as `follow`.

    """
    async with aclosing(follow(generation, after)) as events:
        async for event in events:
            if not isinstance(event, Logged):
                yield event
                continue
            if entries := asking.take(event.entries):
                yield Logged(entries)
            if (asked := asking.asked()) and await _awaits_person(database, asked):
                return


async def _awaits_person(database: Database, asked: Sequence[OperationId]) -> bool:
    try:
        async with database.connect() as db:
            return await awaits_person(db, asked)
    except (SQLAlchemyError, OSError) as error:
        raise StreamCut(type(error).__name__) from error


class AskingStream:
    """A log's entries, from its beginning, with the frames by which the SDK asks for approvals.

    `answered` is as in `approval_response`: what comes before the client's answer is left out then.
    """

    def __init__(self, answered: Mapping[OperationId, str] | None = None) -> None:
        self._calls: dict[str, ToolInput] = {}  # those without an outcome
        self._proposed: dict[str, str] = {}  # operations that nobody has decided, with their calls
        self._refused: set[str] = set()  # calls
        self._answered = {str(operation_id): call_id for operation_id, call_id in (answered or {}).items()}
        self._unseen = set(self._answered)
        self._has_begun = not self._answered
        self._is_started = self._is_remade = False

    def take(self, entries: Iterable[Entry]) -> list[Entry]:
        """What the client gets for the next entries."""
        taken: list[Entry] = []
        for entry in entries:
            if not entry.frame.startswith(_LOOKED_INTO):
                if self._has_begun or entry.terminal:
                    taken.append(entry)
                continue
            frame = decode(entry.frame)
            shown = self._shown(entry, frame)
            if self._has_begun or self._lacks(frame):
                taken += shown
        return taken

    def asked(self) -> Sequence[OperationId]:
        """What a person was asked about, if nothing else can come before the decision; else nothing.

        Each call of a step either has its outcome in the log before the answer waits, or has proposed something.
        """
        waits = bool(self._proposed) and self._calls.keys() <= set(self._proposed.values())
        return [OperationId(UUID(operation_id)) for operation_id in self._proposed] if waits else ()

    def _shown(self, entry: Entry, frame: Frame) -> list[Entry]:
        match frame["type"]:
            case "tool-input-available":
                self._calls[frame["toolCallId"]] = frame
            case "tool-output-available":
                self._calls.pop(frame["toolCallId"], None)
            case "tool-output-error":
                self._calls.pop(frame["toolCallId"], None)
                if frame["toolCallId"] in self._refused:
                    return [_entry(entry, {"type": "tool-output-denied", "toolCallId": frame["toolCallId"]})]
            case "data-approval":
                return [entry, *self._approval(entry, frame)]
            case _:
                pass
        return [entry]

    def _approval(self, entry: Entry, frame: DataApproval) -> list[Entry]:
        call_id, status = frame["data"]["toolCallId"], frame["data"]["status"]
        if status != "proposed":
            self._proposed.pop(frame["id"], None)
            if status == "refused":
                self._refused.add(call_id)
            return []
        self._proposed[frame["id"]] = call_id
        request = _entry(entry, {"type": "tool-approval-request", "approvalId": frame["id"], "toolCallId": call_id})
        call = self._calls.get(call_id)
        # Early releases of 6.0 send no answer about a call that the provider executes.
        return [_entry(entry, {**call, "providerExecuted": False}), request] if call else [request]

    def _lacks(self, frame: Frame) -> bool:
        """Whether a client lacks this frame, which is before the end of what it was asked.

        The log may have been made again since: then it has no request any more, and each call has its outcome at once.
        """
        lacks = False
        match frame["type"]:
            case "start":
                lacks, self._is_started = not self._is_started, True
            case "tool-output-available" | "tool-output-error":
                lacks = frame["toolCallId"] in self._answered.values()
            case "data-approval" if frame["id"] in self._answered:
                self._unseen.discard(frame["id"])
                lacks = frame["data"]["status"] != "proposed"
                self._is_remade = self._is_remade or lacks
            case _:
                pass
        self._has_begun = not self._unseen and (self._is_remade or bool(self.asked()))
        return lacks


def _entry(at: Entry, frame: Mapping[str, Any]) -> Entry:
    """A frame that is in no log, at the place of one that is."""
    return Entry(at.offset, b"%b%b\n\n" % (PREFIX, json_line(frame).encode()), terminal=False)
