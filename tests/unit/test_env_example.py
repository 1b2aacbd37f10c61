"""`.env.example` is the settings' manual: it names each one, and the defaults that it gives are the code's."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from shared.settings import Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
LINE = re.compile(r"(?:# )?(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")
COMPOSE_ONLY = {
    "POSTGRES_PASSWORD",
    "POSTGRES_APP_PASSWORD",
    "REDIS_API_PASSWORD",
    "REDIS_WORKER_PASSWORD",
    "REDIS_FLOWER_PASSWORD",
    "REDIS_PASSWORD",
    "FLOWER_BASIC_AUTH",
    "BIND_ADDRESS",
    "FLOWER_PORT",
    "FORWARDED_ALLOW_IPS",
    "WORKER_REPLICAS",
}
ORIGINAL_NAMES = {
    "ACCESS_TOKEN_EXPIRE_MINUTES",
    "BACKEND_CORS_ORIGINS",
    "DATABASE_URL",
    "GROQ_API_KEY",
    "GROQ_BASE_URL",
    "GROQ_MODEL",
    "JWT_ALGORITHM",
    "JWT_SECRET_KEY",
    "PORT",
    "TAVILY_API_KEY",
}
REQUIRED: dict[str, Any] = {"database_url": "postgresql://localhost/cortexai", "redis_url": "redis://localhost"}


def described() -> list[tuple[str, str]]:
    """Every `NAME=value` of the example, whether commented out or not."""
    matches = map(LINE.fullmatch, EXAMPLE.read_text(encoding="utf-8").splitlines())
    return [(match["name"], match["value"]) for match in matches if match]


@pytest.fixture
def no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)


def test_it_names_every_setting_once_and_nothing_else() -> None:
    names = [name for name, _ in described()]
    assert sorted(names) == sorted({*map(str.upper, Settings.model_fields), *COMPOSE_ONLY})


def test_the_names_of_the_first_release_hold() -> None:
    assert {name for name, _ in described()} >= ORIGINAL_NAMES


def test_every_setting_has_an_explanation() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    explained = False
    for line in lines:
        if not line:
            explained = False
        elif LINE.fullmatch(line):
            assert explained, f"{line} has no explanation above it"
        else:
            explained = True


@pytest.mark.usefixtures("no_settings_around")
def test_its_defaults_are_the_codes_defaults(tmp_path: Path) -> None:
    given = {name: value for name, value in described() if value and name not in COMPOSE_ONLY}
    uncommented = tmp_path / "env"
    uncommented.write_text("".join(f"{name}={value}\n" for name, value in given.items()), encoding="utf-8")
    assert Settings(_env_file=uncommented, **REQUIRED) == Settings(_env_file=None, **REQUIRED)
    optional = {name.upper(): field.default for name, field in Settings.model_fields.items() if not field.is_required()}
    with_default = {name for name, default in optional.items() if default not in (None, "", ())}
    assert with_default <= given.keys(), "a default is not shown"


def test_nothing_in_it_is_a_secret() -> None:
    names = ("_KEY", "_PASSWORD", "_AUTH", "_URL")
    assert not [name for name, value in described() if name.endswith(names) and value]
