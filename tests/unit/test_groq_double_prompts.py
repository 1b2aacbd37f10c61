"""The Groq double tells by words of the prompt what a request is for. These are the prompts that the worker writes."""

import json
from datetime import date

import pytest

from services.worker import prompts
from services.worker.generations.seam import anchor_of
from services.worker.tools.web_search.search_question import INSTRUCTION
from tests.doubles.groq.conversation import Conversation, read

TODAY = prompts.Today(date(2026, 11, 26), "Europe/Berlin")
RECORD = {"summaries": [{"messages": "1-10", "by": "model", "text": "They talked of titles and of a summary."}]}
SAID = [("user", "Give me a title, a summary and whether the web has to be searched."), ("assistant", "No.")]


def seen(*messages: tuple[str, str]) -> Conversation:
    """What the double reads in a request with these messages, each a role and a text."""
    said = [{"role": role, "content": text} for role, text in messages]
    return read(json.dumps({"model": "double", "messages": said}).encode())[0]


@pytest.mark.parametrize(
    ("instruction", "purpose"),
    [
        (prompts.TITLE, "title"),
        (prompts.summarize(4_000), "summary"),
        (f"{INSTRUCTION} Today is 2026-11-26 (Europe/Berlin).", "search"),
        (prompts.system(TODAY), "answer"),
        (prompts.system(TODAY, is_short=True), "answer"),
        (prompts.merge(4_000), "summary"),
    ],
)
def test_the_double_knows_what_each_prompt_is_for(instruction: str, purpose: str) -> None:
    for question in (
        prompts.quoted(SAID[0][1]),
        prompts.quoted_conversation(SAID),
        prompts.summary_request([(1, "other", "My name is Ada.")], [(1, *SAID[0])]),
        prompts.merge_request([(1, 10, SAID[0][1]), (11, 20, "A title.")]),
        SAID[0][1],
        prompts.with_memory(prompts.memory(RECORD), SAID[0][1]),
    ):
        assert seen(("system", instruction), ("user", question)).purpose == purpose


@pytest.mark.parametrize(
    "said", ['She wrote "no\\yes" 中文', "One line.\n\nAnother, which is the last one of this answer"]
)
def test_the_double_begins_with_the_words_that_it_is_asked_for(said: str) -> None:
    words = anchor_of(said)
    read_by_double = seen(
        ("system", prompts.system(TODAY)), ("user", "Go."), ("assistant", said), ("user", prompts.go_on(words))
    )
    assert (read_by_double.last_words, read_by_double.prefill, read_by_double.last_user_text) == (words, said, "Go.")
    assert words
