"""The prompt of a request whose messages are told as they are, and nothing else of the chat. Pure, but for its threads."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from services.worker.generations.context import Context
from services.worker.models.port import ModelMessage, ToolCall
from services.worker.models.tokens import Vocabulary, count_tokens
from shared.errors import PromptTooLong
from shared.generations.parameters import GivenCall, GivenMessage, Parameters
from shared.generations.told_path import Earlier, tell_all


async def with_earlier(parameters: Parameters, earlier: Earlier | None) -> Parameters:
    """The parameters with what was said before the request. None is there where the request brings the whole context.

    Raises:
        PromptTooLong: that is more than a model is told of.

    """
    if earlier is None:
        return parameters
    own = parameters.messages or ()
    # To mask long texts takes a while.
    told = await asyncio.to_thread(tell_all, earlier, own) if earlier.taken_back else tell_all(earlier, own)
    if told is None:
        raise PromptTooLong
    return parameters.model_copy(update={"messages": tuple(told)})


def given_context(parameters: Parameters, after: Sequence[ModelMessage], vocabulary: Vocabulary) -> Context:
    """The request's instructions and messages, then `after`: the answer's own steps, and the text that the model continues.

    Nothing is left out: a context that is too long for the model is refused.
    """
    first = [ModelMessage("system", parameters.instructions)] if parameters.instructions else []
    conversation = [*first, *map(_read, parameters.messages or ()), *after]
    return Context(conversation, sum(count_tokens(message, vocabulary) for message in conversation), 0)


def _read(message: GivenMessage) -> ModelMessage:
    return ModelMessage(message.role, message.content, tuple(map(_read_call, message.calls)), message.call_id)


def _read_call(call: GivenCall) -> ToolCall:
    return ToolCall(call.id, call.name, _arguments(call.arguments))


def _arguments(text: str) -> dict[str, Any] | None:
    """The arguments of a call; None where the text is no JSON object, as a model may have written it."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
