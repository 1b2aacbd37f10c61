"""The public test suite of Open Responses, as `llm-comply` has it: what applies passes, and the rest is known."""

import json
from pathlib import Path

import pytest

from services.worker.runtime import Worker
from tests.clients.programs import Program
from tests.clients.test_openai import PROGRAMS, key
from tests.doubles import groq_control
from tests.support.queued import answer_queued
from tests.support.tools import made_once, run_tool, tool

__all__ = ["key"]

LIST = "from llm_comply.tests.open_responses import OPEN_RESPONSES_TESTS as tests\nfor test in tests: print(test.id)"
RUN = "import llm_comply.cli, sys\nllm_comply.cli.main()\nsys.exit(0)"
NOT_APPLICABLE = {
    "image-input",  # the models take text
    "compact-response",  # chats keep a memory by themselves, so there is nothing to compact
    "compact-missing-model",
}
"""docs/protocol.md lists these with their reasons."""


def _install(folder: Path) -> None:
    uv = tool("uv")
    run_tool(folder, [uv, "venv", "--quiet", ".venv"])
    run_tool(folder, [uv, "pip", "install", "--quiet", "--python", ".venv", "-r", str(PROGRAMS / "comply.txt")])


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The suite's program."""
    folder = made_once(tmp_path_factory, "llm-comply", _install)
    return Program((str(folder / ".venv/bin/python"),), folder)


async def test_what_applies_of_the_suite_passes(
    suite: Program, api: str, key: str, worker: Worker, database_url: str, groq_url: str
) -> None:
    await groq_control.script(groq_url, "tool=get_weather", marker="San Francisco", arguments={"location": "SF"})
    names = {line for line in await suite.run("-c", LIST) if line}
    assert names > NOT_APPLICABLE
    applies = ",".join(sorted(names - NOT_APPLICABLE))
    arguments = ["--base-url", f"{api}/v1", "--api-key", key, "--model", "double", "--filter", applies, "--json"]
    async with answer_queued(worker, database_url):
        told = json.loads("".join(await suite.run("-c", RUN, *arguments)))
    assert told["summary"]["failed"] == 0, json.dumps(told, indent=1)
    skipped = {result["id"] for result in told["results"] if result["status"] == "skipped"}
    assert skipped == {"reasoning-summary"}  # the suite skips that for models of other names than OpenAI's
    assert told["summary"]["passed"] == len(names - NOT_APPLICABLE) - 1
