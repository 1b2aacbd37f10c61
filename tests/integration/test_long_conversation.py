"""A conversation of 200 messages: what the model is told at each turn, and what is left of it all in the end."""

import random
from collections.abc import AsyncIterator

import pytest

from services.worker.prompts import SUMMARIZED_QUESTION
from services.worker.runtime import Worker
from shared.ids import ChatId
from tests.doubles import groq_control
from tests.support.clients import Client
from tests.support.summaries import memory_of, read_request
from tests.support.turns import post, without_look_up, without_record

TURNS = 100
PLANTED = {
    3: "My name is Zelda Quist and my sister is Petra.",
    9: "The budget is 12,500 euros.",
    17: "Write to z.quist@example.org when it is booked.",
    26: "We decided on Lisbon for the offsite.",
    38: "The booking code is QX-7741-B.",
    47: 'The motto shall be "slow is smooth".',
    55: "Forget that, we go to Porto instead of Lisbon.",
    63: "We leave on 14.05.2027 at 18:30.",
    74: "I am allergic to peanuts, says Doctor Okafor.",
    88: "See https://example.org/plan?v=2 for the plan.",
}
DISTINCTIVE = (
    *("Zelda Quist", "Petra", "12,500", "z.quist@example.org", "QX-7741-B", "slow is smooth", "Porto"),
    *("14.05.2027", "18:30", "Okafor", "https://example.org/plan?v=2"),
)
MOST_CHARS = 10_000
"""What the model is told never takes more, however long the chat has become."""


def label(position: int) -> str:
    """A position in letters: digits would be facts."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(position))


@pytest.fixture
async def double(groq_url: str) -> AsyncIterator[str]:
    """The Groq double, without scripts of others or for others."""
    await groq_control.reset(groq_url)
    yield groq_url
    await groq_control.reset(groq_url)


async def test_200_messages_are_each_sent_once_summarized_once_and_their_facts_survive(
    client: Client, worker: Worker, database_url: str, double: str
) -> None:
    late = random.Random(7)  # noqa: S311 - when summaries are late is no secret
    chat = await client.new_chat()
    contents: list[str] = []
    for turn in range(1, TURNS + 1):
        question = f"<{label(2 * turn - 1)}> {PLANTED.get(turn, 'and so on it goes')} <end>"
        await groq_control.script(double, marker=question, reply=f"<{label(2 * turn)}> indeed")
        _, watermark = memory_of(database_url, chat)
        posted = await post(client, question, chat)
        await worker.attempts.run(posted.generation_id)
        asked = (await groq_control.requests(double, containing=question, ended=1))[0]
        system, *told = [said["content"] for said in asked["body"]["messages"]]
        assert sum(map(len, [system, *told])) < MOST_CHARS
        told[0] = without_record(told[0])
        told[-1], looked_up = without_look_up(told[-1])
        assert all(position <= int(str(watermark)) for position in looked_up)
        contents += [question]
        # After the watermark all messages, each once and in order; before it none but through the memory.
        after = contents[int(str(watermark)) :]
        assert told == ([SUMMARIZED_QUESTION, *after] if len(after) % 2 == 0 else after)
        contents += [f"<{label(2 * turn)}> indeed"]
        if late.random() < 0.6:
            await worker.summarizer.summarize(ChatId(chat))
    await worker.summarizer.summarize(ChatId(chat))

    assert [message["content"] for message in await client.messages(chat)] == contents
    last = (2 * TURNS - 5) // 3 * 3
    prompts = [str(asked["user_text"]) for asked in await groq_control.requests(double, containing="The facts so far")]
    summarized = [read_request(prompt) for prompt in prompts]
    assert [position for positions in summarized for position in positions] == list(range(1, last + 1))
    memory = (await client.http.get(f"/api/chats/{chat}/memory")).json()
    assert (memory["watermark"], memory["pending"]) == (last, 2 * TURNS - last)
    # What was said once is told when it is asked for, if not always.
    for word in DISTINCTIVE:
        mark = f"{word} {label(7)}?"
        await groq_control.script(double, marker=mark, reply="Yes.")
        await worker.attempts.run((await post(client, f"What about {mark}", chat)).generation_id)
        asked = (await groq_control.requests(double, containing=mark, ended=1))[0]
        *_, question = told = [said["content"] for said in asked["body"]["messages"]]
        assert word in "\n".join([*told[:-1], question.rpartition("What about")[0]])
