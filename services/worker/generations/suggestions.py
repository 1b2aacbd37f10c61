"""Tool calls for a model that can't ask for them: the model is asked, in a short call for each tool that can be suggested.

The call may fail in any way; then no tool is called, and the answer goes on.
"""

from collections.abc import Sequence
from typing import Final

from services.worker import prompts
from services.worker.generations.reply import Reply
from services.worker.models.answer import whole_answer
from services.worker.models.port import ChatModel, ModelMessage, ModelRequest, ToolCall
from services.worker.models.usage_meter import UsageMeter
from services.worker.prompts import Today
from services.worker.tools.port import Suggestion
from shared.errors import ModelError
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

WITHIN: Final = 5.0
"""Seconds for one question: the reader waits for its answer."""
MAX_TOKENS: Final = 512
"""More than an answer takes, since some models think first."""
MESSAGES: Final = 6
"""So many of the newest messages go along, so that "and tomorrow?" becomes a whole query."""
MESSAGE_CHARS: Final = 1_000


async def suggested_call(
    model: ChatModel,
    name: str,
    tool: str,
    suggestion: Suggestion,
    reply: Reply,
    messages: Sequence[ModelMessage],
    call_id: str,
    today: Today,
) -> list[ToolCall]:
    """The call of this tool that the model `name` wants for the last message; none when the model does not answer.

    `call_id` becomes the end of the call's id. What the question took is counted by the reply's meter.
    """
    question = _question(suggestion.instruction, messages, today)
    request = ModelRequest(name, question, max_tokens=MAX_TOKENS, is_brief=True)
    reply.meter = meter = UsageMeter.of(request)
    try:
        answer = await whole_answer(model, request, meter, within=WITHIN)
    except ModelError as error:
        log.warning("suggestion_failed", tool=tool, code=error.code, model=meter.model)
        reply.forget_refused_call(error)
        return []
    arguments = suggestion.read(answer.text)
    return [] if arguments is None else [ToolCall(f"{suggestion.id_prefix}-{call_id}", tool, arguments)]


def _question(instruction: str, messages: Sequence[ModelMessage], today: Today) -> list[ModelMessage]:
    newest = [(message.role, message.content[:MESSAGE_CHARS]) for message in messages[-MESSAGES:]]
    return [
        ModelMessage("system", f"{instruction} Today is {today.day.isoformat()} ({today.time_zone})."),
        ModelMessage("user", prompts.quoted_conversation(newest)),
    ]
