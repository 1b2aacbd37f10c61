"""The prompt: which messages the model gets, and in which shape. Pure.

The shape is the strictest that chat templates ask for: one system message, then the user's and the assistant's messages by
turns, the user's first. Whatever else the model has to know is quoted in the user's turns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.worker import prompts
from services.worker.generations.told import Told, tell_first, tell_rest
from services.worker.look_up.port import FoundMessage
from services.worker.models.port import ModelMessage
from services.worker.models.tokens import Vocabulary, count_tokens, count_told, cut_text
from services.worker.prompts import Page, Today
from shared.memory.chat_memory import ChatMemory
from shared.memory.facts import Fact
from shared.memory.masking import Mask

MEMORY_SHARE: Final = 2
"""The memory gets at most 1/MEMORY_SHARE of the budget."""
PAGES_SHARE: Final = 8
"""The pages of earlier searches get at most 1/PAGES_SHARE of the budget."""
LOOKED_UP_SHARE: Final = 4
"""The messages that were looked up get at most 1/LOOKED_UP_SHARE of the budget."""
LOOKED_UP_TOKENS: Final = 500
"""More tokens they never take."""
LONG_SHARE: Final = 4
"""A message that does not fit is cut to 1/LONG_SHARE of the budget, if it is longer than that."""
_NOTICE_TOKENS: Final = 120
"""Room for the sentences around the memory."""
MARK_TOKENS: Final = 16
"""Room for what `in_turns` may write between two messages."""


@dataclass(frozen=True, slots=True)
class Context:
    """The prompt, its size in tokens, and how many of the history's oldest messages are left out of it."""

    conversation: list[ModelMessage]
    tokens: int
    left_out: int


def assemble(
    memory: ChatMemory,
    history: Sequence[ModelMessage],
    *,
    looked_up: Sequence[FoundMessage] = (),
    pages: Sequence[Page] = (),
    results: Sequence[str] = (),
    after: Sequence[ModelMessage] = (),
    budget: int,
    max_facts: int,
    vocabulary: Vocabulary,
    today: Today,
    is_short: bool = False,
    instructions: str | None = None,
) -> Context:
    """The prompt: the system prompt, the memory with the history up to the question, then `after`.

    The memory is quoted in front of the first message that follows the system prompt. `looked_up` are messages that the
    memory covers, the best first; `pages` are those of earlier searches, the newest first; `results` are texts of this
    answer's tools. All of these are quoted in front of the question. `after` are the answer's own steps, and the text that
    the model is to continue. `budget` is the prompt's size in tokens. When the history does not fit, its oldest messages are
    left out, but never the question, which goes before the memory too. Where there is little room, the pinned facts and the
    user's instructions go first, then what was looked up, then the segments and at most `max_facts` facts in all.
    `is_short` is for models that a long system prompt confuses. `instructions` are the request's own, behind the system prompt.
    """
    *earlier, question = _said_once(history) or [ModelMessage("user", "")]
    pages = _newest_pages(pages, budget // PAGES_SHARE, vocabulary)
    quotations = [prompts.found_earlier(pages), *results]
    taken = sum(count_tokens(message, vocabulary) for message in (_asked(question, quotations), *after))
    system = ModelMessage("system", prompts.system(today, instructions, is_short=is_short))
    room = budget - taken - count_tokens(system, vocabulary)
    told = Told(min(budget // MEMORY_SHARE, room) - _NOTICE_TOKENS, vocabulary, Mask(memory.forgotten_values))
    tell_first(told, memory)
    first_tokens = int(count_told(prompts.memory(told.as_record()), vocabulary))
    most = min(budget // LOOKED_UP_SHARE, LOOKED_UP_TOKENS, room - first_tokens)
    looked_up, looked_up_tokens = _best(_not_in_facts(looked_up, told.facts), most, vocabulary)
    told.left = min(told.left, room - looked_up_tokens - first_tokens)
    tell_rest(told, memory, max_facts)
    looked_up = _not_in_facts(looked_up, told.facts)
    quoted = [prompts.looked_up(looked_up, _changed(memory, told.mask, looked_up)), *quotations]
    record = prompts.memory(told.as_record())
    taken = sum(count_tokens(message, vocabulary) for message in (system, _asked(question, [record, *quoted]), *after))
    kept = _newest(earlier, budget - taken, budget // LONG_SHARE, vocabulary)
    if len(kept) < len(earlier):
        # Without its question, the oldest answer would come first.
        while kept and kept[0].role == "assistant":
            kept.pop(0)
    turns = in_turns([*kept, _asked(question, quoted), *after])
    turns[0] = replace(turns[0], content=prompts.with_memory(record, turns[0].content))
    conversation = [system, *turns]
    tokens = sum(count_tokens(message, vocabulary) for message in conversation)
    return Context(conversation, tokens, len(earlier) - len(kept))


def _changed(memory: ChatMemory, mask: Mask, looked_up: Sequence[FoundMessage]) -> dict[int, str]:
    """What holds now instead of what these messages said, by their positions."""
    by_id = {fact.id: fact for fact in memory.facts}
    positions = {message.position for message in looked_up}
    changed: dict[int, str] = {}
    for fact in memory.facts:
        if fact.position not in positions or fact.state != "replaced":
            continue
        now, seen = fact, {fact.id}
        while now.replaced_by in by_id and now.replaced_by not in seen:
            seen.add(now.replaced_by)
            now = by_id[now.replaced_by]
        if now.state == "current":
            changed[fact.position] = mask(now.text)
    return changed


def in_turns(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """The messages so that the user's and the assistant's alternate, and the user's come first.

    Messages of one side in a row become one. Where the summary has the question of the first answer, a few words stand for
    the question. Tools' messages stay behind the calls that they answer.
    """
    turns: list[ModelMessage] = []
    for message in messages:
        if message.role == "assistant" and not turns:
            turns.append(ModelMessage("user", prompts.SUMMARIZED_QUESTION))
        last = turns[-1] if turns else None
        if last is None or last.role != message.role or message.role == "tool":
            turns.append(message)
        elif message.role == "user":
            turns[-1] = replace(last, content=f"{last.content}\n\n{prompts.NOT_ANSWERED}\n\n{message.content}")
        else:
            turns[-1] = replace(message, content=f"{last.content}\n\n{message.content}".strip())
    return turns


def _said_once(history: Sequence[ModelMessage]) -> list[ModelMessage]:
    """The history without messages that the user sent again because no answer came: the last one of the same stays."""
    said: list[ModelMessage] = []
    again: set[str] = set()
    for message in reversed(history):
        text = " ".join(message.content.split()) if message.role == "user" else None
        if text is None:
            again = set()
        elif text in again:
            continue
        else:
            again.add(text)
        said.append(message)
    return said[::-1]


def _newest(earlier: Sequence[ModelMessage], room: int, longest: int, vocabulary: Vocabulary) -> list[ModelMessage]:
    """The newest of the messages, as many as fit into `room` tokens. One of more than `longest` tokens may be cut to fit."""
    kept: list[ModelMessage] = []
    for message in reversed(earlier):
        size = count_tokens(message, vocabulary) + MARK_TOKENS
        if size > room and size > longest:
            begin = cut_text(message.content, longest - 3 * MARK_TOKENS, vocabulary)
            message = replace(message, content=f"{begin}\n\n{prompts.CUT}".strip())  # noqa: PLW2901 - from here on it is this
            size = count_tokens(message, vocabulary) + MARK_TOKENS
        if size > room:
            break
        room -= size
        kept.append(message)
    return kept[::-1]


def _asked(question: ModelMessage, quotations: Sequence[str]) -> ModelMessage:
    return replace(question, content=prompts.with_quoted(quotations, question.content))


def _best(found: Sequence[FoundMessage], room: int, vocabulary: Vocabulary) -> tuple[list[FoundMessage], int]:
    """The first of the messages, as many as fit into `room` tokens, by position; and their tokens with what is said of them.

    One that does not fit is passed over.
    """
    kept: list[FoundMessage] = []
    taken = 0
    for message in found:
        size = _size_of_looked_up([*kept, message], vocabulary)
        if size <= room:
            kept.append(message)
            taken = size
    return sorted(kept), taken


def _size_of_looked_up(messages: Sequence[FoundMessage], vocabulary: Vocabulary) -> int:
    """The tokens by which a question grows that has these messages in front."""
    return count_tokens(_asked(ModelMessage("user", ""), [prompts.looked_up(messages)]), vocabulary)


def _not_in_facts(found: Sequence[FoundMessage], facts: Sequence[Fact]) -> list[FoundMessage]:
    """The messages of which not all is told as a fact already."""
    told = {(fact.position, fact.text) for fact in facts}
    return [message for message in found if (message.position, " ".join(message.text.split())) not in told]


def _newest_pages(pages: Sequence[Page], room: int, vocabulary: Vocabulary) -> list[Page]:
    """The first of the pages, as many as fit into `room` tokens."""
    kept: list[Page] = []
    for page in pages:
        room -= count_tokens(ModelMessage("user", prompts.found_earlier([page])), vocabulary)
        if room < 0:
            break
        kept.append(page)
    return kept
