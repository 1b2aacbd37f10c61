"""What `cortexai up` says once everything is ready."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from services.launcher.data_dir import DataDir, Running, Secrets
from services.launcher.display import LOCAL_MODEL_NOTICE, Display
from services.launcher.system import System
from shared.settings import Settings


def lines_of(model_port: int | None = None, *, web_page: bool = True) -> list[str]:
    """What is shown when everything is ready."""
    settings = Settings.load(
        _env_file=None, database_url="postgresql://db/x", redis_url="redis://redis", web_page=web_page
    )
    running = Running(1, "127.0.0.1", 8000, 5555, None, None, model_port)
    shown = io.StringIO()
    data = DataDir(Path("data"), Secrets("a", "b", "c", "d", "e"), 0)
    Display(Console(file=shown, width=80), ()).started(System(settings, running, ()), data)
    return shown.getvalue().splitlines()


def test_the_address_of_the_page_comes_first() -> None:
    first = next(line for line in lines_of() if "http" in line)
    assert "Page" in first
    assert "http://127.0.0.1:8000/ " in first


def test_a_page_that_is_switched_off_is_not_named() -> None:
    assert not [line for line in lines_of(web_page=False) if "Page" in line]


@pytest.mark.parametrize(("model_port", "times"), [(8001, 1), (None, 0)])
def test_the_local_model_is_called_what_it_is_in_one_line(model_port: int | None, times: int) -> None:
    assert lines_of(model_port).count(LOCAL_MODEL_NOTICE) == times
    assert "GROQ_API_KEY" in LOCAL_MODEL_NOTICE
