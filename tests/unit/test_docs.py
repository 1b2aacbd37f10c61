"""The documents say what is so, as far as a program can see: files and tests that they name exist, and lines are short."""

import dataclasses
import re
from pathlib import Path
from typing import Final

import pytest

from shared.settings import Settings
from tests.doubles.groq import directives as groq
from tests.doubles.tavily import directives as tavily

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("docs/adr/*.md"),
        *ROOT.glob("docs/clients/*.md"),
        *ROOT.glob("bench/*.md"),
    ]
)
MAX_LINE: Final = 120
TOP = ("bench/", "docs/", "migrations/", "scripts/", "services/", "shared/", "tests/")
FENCE: Final = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
CODE: Final = re.compile(r"`([^`\n]+)`")
LINK: Final = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
SETTING: Final = re.compile(r"[A-Z][A-Z0-9]*_[A-Z0-9_]+")
OF_OTHERS: Final = {
    *{"BIND_ADDRESS", "FLOWER_BASIC_AUTH", "FLOWER_PORT", "FORWARDED_ALLOW_IPS", "POSTGRES_PASSWORD", "REDIS_PASSWORD"},
    *{"POSTGRES_APP_PASSWORD", "REDIS_API_PASSWORD", "REDIS_FLOWER_PASSWORD", "REDIS_WORKER_PASSWORD"},
    *{"ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "READY_FILE", "SSL_CERT_FILE", "WORKER_REPLICAS"},
}
"""What is set elsewhere than in the settings: for compose, uvicorn, proxies, a worker's health."""


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


@pytest.fixture(params=PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def page(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_its_lines_are_short_but_for_tables(page: Path) -> None:
    lines = prose(page).splitlines()
    assert [line for line in lines if len(line) > MAX_LINE and not line.lstrip().startswith("|")] == []


def test_its_tables_are_tables(page: Path) -> None:
    """A row whose lines were wrapped is text, with bars in it."""
    text = [line for line in prose(page).splitlines() if not line.lstrip().startswith("|")]
    assert [line for line in text if re.search(r"\|-+\||\| \|", CODE.sub("", line))] == []


def test_the_files_that_it_names_exist(page: Path) -> None:
    named = [code for code in CODE.findall(prose(page)) if code.startswith(TOP) and not re.search(r"[<*… ]", code)]
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_its_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(prose(page)) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_tests_that_it_names_exist(page: Path) -> None:
    tests = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    named = {code.partition("[")[0] for code in CODE.findall(prose(page)) if re.match(r"test_\w+(\[|$)", code)}
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []


def test_the_settings_that_it_names_exist(page: Path) -> None:
    if page.name == "CHANGELOG.md" or page.parent.name == "adr":
        pytest.skip("tells of what was")
    named = {code for code in CODE.findall(prose(page)) if SETTING.fullmatch(code)}
    assert named - {name.upper() for name in Settings.model_fields} - OF_OTHERS == set()


@pytest.mark.parametrize("behaviour", [groq.Behaviour, tavily.Behaviour])
def test_every_directive_of_the_doubles_is_documented(behaviour: type[groq.Behaviour | tavily.Behaviour]) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    documented = {name for code in CODE.findall(text) for name in re.findall(r"^(\w+)(?:=|$)", code)}
    assert {field.name for field in dataclasses.fields(behaviour)} <= documented
