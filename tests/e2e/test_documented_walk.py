"""The walk of docs/database-agent.md and the commands of the README: they run as they stand, and print what they say."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from cryptography.fernet import Fernet

from services.launcher.embedded.postgres import EmbeddedPostgres
from tests.conftest import NewSystem
from tests.doubles import groq_control
from tests.support.system import System
from tests.support.tools import tool

ROOT: Final = Path(__file__).parents[2]
FENCES: Final = re.compile(r"^```(sh)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BETWEEN: Final = "--- the next block ---"
SAID: Final = "Take 10 % off the first two tents."
CHANGE: Final = {"sql": "UPDATE products SET price = price * 0.9 WHERE id <= 2", "summary": "Two tents are 10 % off."}


@pytest.fixture
async def started(new_system: NewSystem, postgres: EmbeddedPostgres) -> AsyncIterator[tuple[System, str]]:
    """A system with sandboxes, and the URL of its API."""
    system = new_system(
        DATA_SOURCE_KEYS=Fernet.generate_key().decode(), SANDBOX_DATABASE_URL=postgres.url_of("sandbox_walk")
    )
    (_, url), _ = await asyncio.gather(system.start_api(), system.start_worker())
    yield system, url
    system.end()


def blocks(page: str, heading: str) -> list[tuple[str, str]]:
    """The shell blocks of a section, each with the output that follows it; empty where none does."""
    sections = re.split(r"^## ", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    (section,) = (text for text in sections if text.startswith(f"{heading}\n"))
    found: list[tuple[str, str]] = []
    for language, text in FENCES.findall(section):
        if language == "sh":
            found.append((text, ""))
        else:
            found[-1] = (found[-1][0], text)
    return found


async def printed(commands: list[str], **env: str) -> list[str]:
    """What each of these blocks prints, one after the other in one shell. Nothing may go to the standard error."""
    script = f"\necho\necho '{BETWEEN}'\n".join(commands)
    process = await asyncio.create_subprocess_exec(
        *(tool("bash"), "-c", script),
        env={"PATH": "/usr/bin:/bin", **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    assert errors.decode() == ""
    return output.decode().split(f"{BETWEEN}\n")


def is_as_said(output: str, said: str) -> bool:
    """Whether an output is what the page shows, where `…` stands for anything."""
    shown = ".*".join(re.escape(part.strip()) for part in said.split("…"))
    return re.fullmatch(rf"\s*{shown}\s*", output, re.DOTALL) is not None


async def test_the_walk_through_the_sandbox_runs_and_prints_what_the_page_says(
    started: tuple[System, str], groq_url: str
) -> None:
    tool("curl")
    system, url = started
    change = {"source": system.count("data_sources") + 1, **CHANGE}
    await groq_control.script(groq_url, "tool=db_propose_write", marker=SAID, arguments=change, purpose="answer")
    walk = blocks("docs/database-agent.md", "Five minutes in the sandbox")
    outputs = await printed([commands for commands, _ in walk], API=url)
    for output, (commands, said) in zip(outputs, walk, strict=True):
        assert is_as_said(output, said), f"{commands}\n{output}"


def commands_of_the_readme(url: str, path: str) -> list[str]:
    """Those that sign up at this API, and those that ask at a path."""
    signing_up, *_ = (commands for commands, _ in blocks("README.md", "Try it") if commands.startswith("API="))
    (commands,) = (commands for commands, _ in blocks("README.md", "Try it") if path in commands)
    return [signing_up.replace("http://127.0.0.1:8000", url).partition("curl -s -X POST")[0], commands]


async def test_the_commands_of_the_readme_ask_as_clients_of_openai_do(started: tuple[System, str]) -> None:
    tool("curl")
    _, output = await printed(commands_of_the_readme(started[1], "/v1/responses"))
    streamed, _, response = output.partition("data: [DONE]")
    assert '"object":"chat.completion.chunk"' in streamed
    assert '"status":"completed"' in response


async def test_the_commands_of_the_readme_make_a_sandbox_and_propose_a_change(started: tuple[System, str]) -> None:
    tool("curl")
    system, url = started
    _, output = await printed(commands_of_the_readme(url, "/api/data-sources/"))
    assert '"kind":"sandbox"' in output
    assert '"rows":[["Tent small","108.00"],["Tent medium","120.00"]]' in output
    assert '"status":"proposed"' in output
    assert system.count("operations", "status = 'proposed'") == 1
