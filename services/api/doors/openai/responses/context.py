"""The turns before a request as messages for the model, where the request has to tell them. Pure."""

import json
from collections.abc import Iterable

from services.api.doors.openai.responses.input_items import read_input
from services.api.doors.openai.responses.objects import ResponseRow
from shared.generations.parameters import GivenCall, GivenMessage
from shared.protocol.message_parts import plain_parts


def messages_of(path: Iterable[ResponseRow]) -> list[GivenMessage]:
    """What was said in these turns, with the calls that clients were asked to make. An answer that said nothing is left out."""
    told: list[GivenMessage] = []
    for row in path:
        given = (row.response or {}).get("input")
        told += read_input(row.question if given is None else given).messages if given or row.question else ()
        calls = tuple(
            GivenCall(id=part["toolCallId"], name=part["toolName"], arguments=json.dumps(part["input"]))
            for part in row.parts or plain_parts(row.content)
            if part["type"] == "dynamic-tool" and not part.get("providerExecuted", True)
        )
        if row.content or calls:
            told.append(GivenMessage(role="assistant", content=row.content, calls=calls))
    return told


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
