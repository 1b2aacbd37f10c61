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
