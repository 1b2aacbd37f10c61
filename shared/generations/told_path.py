"""What was said before a request, as messages for the model, where the model is told the items of a conversation. Pure.

Each turn keeps its own input alone. What came before is put together from the rows of the path, by whoever needs it: so a
conversation takes as much room as was said in it.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

from shared.generations.outcome import BROKEN_OFF
from shared.generations.parameters import MAX_CALLS, MAX_MESSAGES, MAX_TEXT_CHARS, GivenCall, GivenMessage
from shared.memory.masking import Mask
from shared.states import MessageStatus

Json = dict[str, Any]
_UNSAID: Final = GivenMessage(role="assistant")


class PathMessage(NamedTuple):
    """A message of a path.

    `given` are the messages of the request that a user's message stands for; None where its content is all. `calls` are the
    parts of a reply's calls that its client was to make.
    """

    position: int
    role: str
    content: str
    status: str
    given: Sequence[Json] | None = None
    calls: Sequence[Json] | None = None


class Earlier(NamedTuple):
    """A path before a request, in order, and what the user took back, with the positions up to which that is masked.

    `is_too_long`: it is more than a request may tell a model of, and was not loaded.
    """

    path: Sequence[PathMessage] = ()
    taken_back: Collection[tuple[int, str]] = ()
    is_too_long: bool = False


def tell_all(earlier: Earlier, own: Sequence[GivenMessage]) -> list[GivenMessage] | None:
    """What the model is told: what was said before, and a request's own messages. None where that is too much.

    An answer that said nothing is left out; one that is not whole says so. Calls of one answer are one message, and their
    results stand right behind. A result of a call that is not there is left out: with it, no model would take the conversation
    any more. Of two results of one call, the later one is told. So are calls of an answer that is not whole, where they have no
    result: their client may never have got them.
    """
    if earlier.is_too_long:
        return None
    told: list[GivenMessage] = []
    results = {message.call_id for message in own} | {
        given.get("call_id") for message in earlier.path for given in message.given or ()
    }
    for message in earlier.path:
        told += _masked(list(_read(message, results)), message.position, earlier.taken_back)
    told += own
    if len(told) > MAX_MESSAGES or sum(map(size_of, told)) > MAX_TEXT_CHARS:
        return None
    return _in_order(told)


def size_of(message: GivenMessage) -> int:
    """The characters of a message."""
    return len(message.content) + sum(len(call.arguments) for call in message.calls)


def has_too_many_calls(messages: Iterable[GivenMessage]) -> bool:
    """Whether one of the messages has more calls than a model is told."""
    return any(len(message.calls) > MAX_CALLS for message in messages)


def unanswered(messages: Iterable[GivenMessage]) -> str | None:
    """The first call that has no result in what the model is told; None where each has one."""
    calls: dict[str, None] = {}
    for message in messages:
        calls |= {call.id: None for call in message.calls}
        calls.pop(message.call_id, None)
    return next(iter(calls), None)


def made_calls(path: Iterable[PathMessage]) -> set[str]:
    """The ids of all calls of a path."""
    in_replies = {call["toolCallId"] for message in path for call in message.calls or ()}
    in_requests = {call["id"] for message in path for given in message.given or () for call in given.get("calls") or ()}
    return in_replies | in_requests


def _read(message: PathMessage, results: Collection[Any]) -> Iterable[GivenMessage]:
    if message.role == "user":
        if message.given is not None:
            yield from map(GivenMessage.model_validate, message.given)
        elif message.content:
            yield _UNSAID.model_copy(update={"role": "user", "content": message.content})
        return
    is_whole = message.status == MessageStatus.COMPLETED
    calls = tuple(
        GivenCall(id=part["toolCallId"], name=part["toolName"], arguments=json.dumps(part["input"]))
        for part in message.calls or ()
        if is_whole or part["toolCallId"] in results
    )
    content = message.content if is_whole or not message.content else f"{message.content}\n\n{BROKEN_OFF}"
    if content or calls:
        yield _UNSAID.model_copy(update={"content": content, "calls": calls})


def _masked(messages: list[GivenMessage], position: int, taken_back: Collection[tuple[int, str]]) -> list[GivenMessage]:
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


def _in_order(messages: Iterable[GivenMessage]) -> list[GivenMessage]:
    """The messages as models take them."""
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
            last[0] = _UNSAID.model_copy(update={"content": content, "calls": (*last[0].calls, *message.calls)})
        else:
            last = [message]
            groups.append(last)
        of_call |= {call.id: last for call in message.calls}
    return [message for group in groups for message in group]
