"""`python -m services.worker QUEUE[,QUEUE…]`: work on these queues until SIGTERM. `… beat`: send the periodic jobs.

`… flower`: show the workers.
"""

import sys
from importlib import import_module
from typing import Any, Final

from celery import signals

from shared.errors import SettingsInvalid
from shared.jobs.names import QUEUES
from shared.servers import insist, redis_servers
from shared.settings import RedisSettings, Settings
from shared.telemetry import capture
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

USAGE: Final = f"usage: python -m services.worker QUEUE[,QUEUE...] | beat | flower   (queues: {', '.join(QUEUES)})"
SWITCH_INTERVAL: Final = 0.0005
"""Seconds for which a thread may keep other threads from Python. The default, 5 ms, delays the event loop too much."""


def main(arguments: list[str]) -> int:
    """Run. Returns the exit code: 2 for unusable settings, arguments or servers, 1 when the work can't go on."""
    role = arguments[0] if len(arguments) == 1 else ""
    if role not in {"beat", "flower"} and not set(role.split(",")) <= set(QUEUES):
        print(USAGE, file=sys.stderr)  # noqa: T201 - for a person at a terminal
        return 2
    capture.log_everything(f"worker:{role}")
    signals.setup_logging.connect(_keep_logging, weak=False)
    try:
        return _run(role)
    except SettingsInvalid as error:
        log.critical("settings_invalid", error=error.message)
        return 2


def _run(role: str) -> int:
    """Run. Returns the exit code.

    Only what the role needs is imported: beat without the model's client starts in half the time and memory. And only
    when settings and servers are usable: what is wrong is told in a third of the time.
    """
    if role == "flower":
        of_flower = RedisSettings.load()
        insist(redis_servers(of_flower, streams=False))
        import_module("services.worker.flower").run(of_flower)
        return 0
    settings = Settings.load(require=() if role == "beat" else ("groq_api_key",))
    if role == "beat":
        insist(redis_servers(settings, streams=False))
    else:
        insist(import_module("shared.database_server").all_servers(settings))
    sys.setswitchinterval(SWITCH_INTERVAL)
    code = import_module("services.worker.beat" if role == "beat" else "services.worker.consumer").run(settings, role)
    return int(code)


def _keep_logging(**_: Any) -> None:  # noqa: ANN401 - Celery's signals
    """Being connected is enough: Celery then leaves logging as it is."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
