"""The AI SDK's providers for OpenAI's doors: all that each does, in one program each."""

import json
import shutil
from uuid import uuid4

import pytest

from services.worker.runtime import Worker
from tests.clients.programs import Program
from tests.clients.test_openai import PROGRAMS, key, poor_key, program
from tests.doubles import groq_control
from tests.support.clients import numbered
from tests.support.ends import newest_end
from tests.support.queued import answer_queued
from tests.support.turns import execute

__all__ = ["key", "poor_key", "program"]

LEFT = {"chat": ("Hello [[tokens=100000 rate=50]]", "cancelled")}
STORED = "Hello [[tokens=30 rate=60]]", "completed"
"""What is asked for and left, and how it ends: a stored response is made to its end."""


@pytest.mark.parametrize("program", ["node-newest"], indirect=True)
@pytest.mark.parametrize("provider", ["chat", "openai", "open-responses"])
async def test_the_ai_sdks_providers_do_what_they_do_at_openais(
    program: Program, api: str, key: str, poor_key: str, worker: Worker, database_url: str, groq_url: str, provider: str
) -> None:
    calling, forming, form = uuid4().hex, uuid4().hex, {"city": "Rome", "degrees": 30}
    await groq_control.script(groq_url, "tool=weather", marker=calling, arguments={"city": "Rome"})
    await groq_control.script(groq_url, marker=calling, reply="Clear in Rome.")
    await groq_control.script(groq_url, marker=forming, reply=json.dumps(form))
    left, end = LEFT.get(provider, STORED)
    questions = {
        "stream": "Hello [[tokens=30 reasoning=3]]",
        "tools": calling,
        "parse": forming,
        "poor": poor_key,
        "leave": left,
    }
    shutil.copy(PROGRAMS / "ai_sdk.mjs", program.folder)
    asking = Program((program.command[0], "ai_sdk.mjs"), program.folder)
    async with answer_queued(worker, database_url):
        told = json.loads("".join(await asking.run(api, key, provider, json.dumps(questions))))
        assert await newest_end(api, key, database_url) == end
    counted = "SELECT prompt_tokens, completion_tokens, total_tokens FROM model_calls ORDER BY id LIMIT 1"
    assert told["stream"] == [numbered(30), "stop", list(execute(database_url, counted)[0])]
    assert (told["tools"], told["parse"]) == (["Clear in Rome.", 2], form)
    (request,) = await groq_control.requests(groq_url, containing=forming, ended=1)
    assert request["body"]["response_format"]["type"] == "json_schema"
    assert told["refused"] == [
        ["AI_APICallError", 401, "invalid_api_key"],
        ["AI_APICallError", 404, "model_not_found"],
        ["AI_APICallError", 429, "insufficient_quota"],
    ]
    assert told["left"]
