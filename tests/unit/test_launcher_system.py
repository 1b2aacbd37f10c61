"""The parts of `cortexai up`, before anything of them runs."""

from pathlib import Path

import pytest

from services.launcher.configuration import Given
from services.launcher.data_dir import hold
from services.launcher.program import free_port
from services.launcher.system import compose


@pytest.mark.parametrize(("given", "expected"), [("9100", ["9100", "9101", "9102"]), ("", ["", "", ""])])
def test_each_process_serves_its_metrics_at_a_port_of_its_own(
    given: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("METRICS_PORT", given),
        ("DATABASE_URL", "postgresql://127.0.0.1:1/none"),
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("GROQ_API_KEY", "test"),
    ):
        monkeypatch.setenv(name, value)
    with hold(tmp_path) as data:
        (tmp_path / "run").mkdir(exist_ok=True)
        parts = {part.name: part for part in compose(Given(_env_file=None), data, free_port()).parts}
        found = [parts[name].prepare().env for name in ("api", "worker-generations", "worker-background")]
    assert [env.get("METRICS_PORT", given) for env in found] == expected
