"""The turns before a request as messages for the model, where the request has to tell them. Pure."""

import json
from collections.abc import Collection, Iterable

from services.api.doors.openai.responses.input_items import read_input
from services.api.doors.openai.responses.objects import PlacedTurn
from shared.generations.outcome import BROKEN_OFF
from shared.generations.parameters import GivenCall, GivenMessage
from shared.memory.masking import Mask
from shared.protocol.message_parts import plain_parts
from shared.states import GenerationStatus


def messages_of(path: Iterable[PlacedTurn], taken_back: Collection[tuple[int, str]] = ()) -> list[GivenMessage]:
    """What was said in these turns, with the calls that clients were asked to make. An answer that said nothing is left out.

    `taken_back` is what the user took back, with the positions up to which it is masked. An answer that is not whole says so.
    """
    told: list[GivenMessage] = []
    for row, asked_at, replied_at in path:
        given = (row.response or {}).get("input")
        read = read_input(row.question if given is None else given).messages if given or row.question else ()
        told += _masked(read, asked_at, taken_back)
        calls = tuple(
            GivenCall(id=part["toolCallId"], name=part["toolName"], arguments=json.dumps(part["input"]))
            for part in row.parts or plain_parts(row.content)
            if part["type"] == "dynamic-tool" and not part.get("providerExecuted", True)
        )
        content = row.content
        if content and row.status != GenerationStatus.COMPLETED:
            content = f"{content}\n\n{BROKEN_OFF}"
        if content or calls:
            told += _masked([GivenMessage(role="assistant", content=content, calls=calls)], replied_at, taken_back)
    return told


def _masked(
    messages: Iterable[GivenMessage], position: int, taken_back: Collection[tuple[int, str]]
) -> Iterable[GivenMessage]:
    """The messages of this position without what the user took back later than it was said."""
    values = [value for until, value in taken_back if until >= position]
    if not values:
        return messages
    mask = Mask(values)
    return [
        message.model_copy(
            update={
                "content": mask(message.content),
                "calls": tuple(
                    call.model_copy(update={"arguments": _masked_arguments(call.arguments, mask)})
                    for call in message.calls
                ),
            }
        )
        for message in messages
    ]


def _masked_arguments(arguments: str, mask: Mask) -> str:
    """The arguments without what `mask` masks; none where they are no JSON then, as where a number is masked."""
    masked = mask(arguments)
    try:
        json.loads(masked)
    except ValueError:
        return "{}"
    return masked


def in_order(messages: Iterable[GivenMessage]) -> list[GivenMessage]:
    """The messages as models take them: calls of one answer are one message, and their results stand right behind.

    A result of a call that is not there is left out: with it, no model would take the conversation any more. Of two results of
    one call, the later one is told.
    """
    groups: list[list[GivenMessage]] = []
    of_call: dict[str, list[GivenMessage]] = {}
    for message in messages:
        if message.role == "tool":
            if (group := of_call.get(message.call_id)) is not None:
                group[:] = [*(one for one in group if one.call_id != message.call_id), message]
            continue
        last = groups[-1] if groups else []
        if message.role == "assistant" and len(last) == 1 and last[0].role == "assistant":
            content = "\n\n".join(each.content for each in (*last, message) if each.content)
            last[0] = GivenMessage(role="assistant", content=content, calls=(*last[0].calls, *message.calls))
        else:
            last = [message]
            groups.append(last)
        of_call |= {call.id: last for call in message.calls}
    return [message for group in groups for message in group]
