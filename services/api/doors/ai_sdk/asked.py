"""What a request asks for: the client's last message as text, and what is to be done with it."""

from contextlib import suppress
from typing import Any, Final, NamedTuple
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.status import HTTP_400_BAD_REQUEST

from services.api.bodies import NotJson, insist_on_few, is_json
from services.api.doors.ai_sdk.body import MESSAGES, read_body
from services.api.doors.ai_sdk.schemas import KNOWN, Approval, ChatRequest, LastMessage
from services.api.turns.turn import OnConflict
from shared.errors import ApprovalNotPending, PartNotSupported, UnsupportedMediaType
from shared.ids import OperationId
from shared.visible_text import is_blank

APPROVAL_STATE: Final = "approval-responded"
IGNORED: Final = ("data-",)
"""The beginnings of the types of parts that an app adds for itself. The SDK shows them to no model either."""


class Answered(NamedTuple):
    """A user's answers to what tool calls of a reply have proposed: for each operation, whether the user approves it."""

    chat_id: str
    answers: dict[OperationId, bool]


class Asked(NamedTuple):
    """What a request asks for. `message_id` is the client's name for its last message, `content` the message's text.

    `is_regeneration`: another answer is asked for, also where the message has one. `target_id` is the message that is edited
    or answered anew, as the client names it; None where the request names none.
    """

    chat_id: str
    message_id: str
    content: str
    is_regeneration: bool
    target_id: str | None
    on_conflict: OnConflict
    model: str | None
    time_zone: str | None


async def read_request(request: Request, text_chars: int) -> Asked | Answered:
    """Read what useChat has sent. Texts have at most `text_chars` characters.

    Raises:
        RequestValidationError: the body is no JSON, or does not fit ChatRequest, or its last message is not the user's and
            answers nothing.
        UnsupportedMediaType: the body is no JSON in UTF-8.
        PayloadTooLarge: what would have to be kept is too large.
        PartNotSupported: the user's message has a file, or another part that is not text.
        ApprovalNotPending: the last message answers requests for approval, none of which can be one of ours.

    """
    if not is_json(request.headers):
        raise UnsupportedMediaType("Content-Type: send the body as application/json")
    try:
        members, index = await read_body(request.stream(), KNOWN, text_chars)
    except NotJson as error:
        raise error.as_refusal() from None
    except ClientDisconnect as error:
        raise HTTPException(HTTP_400_BAD_REQUEST) from error
    try:
        body = ChatRequest.model_validate(members)
    except ValidationError as error:
        insist_on_few(error)
        raise RequestValidationError(
            [{**found, "loc": _located(found["loc"], index)} for found in error.errors()]
        ) from None
    message = body.messages[-1]
    if message.role == "assistant" and any(part.state == APPROVAL_STATE for part in message.parts):
        return Answered(body.id, _answers_in(message, index))
    return Asked(
        chat_id=body.id,
        message_id=message.id,
        content=_text_of(message, index),
        is_regeneration=body.trigger == "regenerate-message",
        target_id=body.messageId,
        on_conflict=body.on_conflict,
        model=body.model,
        time_zone=body.time_zone,
    )


def _answers_in(message: LastMessage, index: int) -> dict[OperationId, bool]:
    """The answers that the parts of a reply have. Ids that are none of ours name nothing."""
    answers: dict[OperationId, bool] = {}
    for number, part in enumerate(message.parts):
        if part.state != APPROVAL_STATE:
            continue
        try:
            answer = Approval.model_validate(part.approval)
        except ValidationError:
            location = (MESSAGES, index, "parts", number, "approval")
            raise _invalid("value_error", location, "must have the id of the request, and approved") from None
        with suppress(ValueError):
            answers[OperationId(UUID(answer.id))] = answer.approved
    if not answers:
        raise ApprovalNotPending
    return answers


def _text_of(message: LastMessage, index: int) -> str:
    """The text parts of the user's message, a line each."""
    if message.role != "user":
        raise _invalid("value_error", (MESSAGES, index, "role"), "must be user in the last message")
    for number, part in enumerate(message.parts):
        if part.type != "text" and not part.type.startswith(IGNORED):
            raise PartNotSupported(f"{MESSAGES}.{index}.parts.{number}", part.type)
    text = "\n".join(part.text for part in message.parts if part.type == "text" and part.text is not None)
    if is_blank(text):
        raise _invalid("value_error", (MESSAGES, index, "parts"), "must not be blank")
    return text


def _located(location: tuple[int | str, ...], index: int) -> tuple[int | str, ...]:
    """Where a mistake is in the request's body, which had all messages."""
    if location[:1] == (MESSAGES,) and len(location) > 1:
        location = (MESSAGES, index, *location[2:])
    return ("body", *location)


def _invalid(kind: str, location: tuple[int | str, ...], message: str) -> RequestValidationError:
    found: dict[str, Any] = {"type": kind, "loc": ("body", *location), "msg": message}
    return RequestValidationError([found])
