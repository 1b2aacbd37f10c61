"""`python -m services.worker QUEUE[,QUEUE…]`: work on these queues until SIGTERM. `… beat`: send the periodic jobs."""

import sys
from importlib import import_module
from typing import Any, Final

from celery import signals

from shared.errors import SettingsInvalid
from shared.jobs.names import QUEUES
from shared.settings import Settings
from shared.telemetry.logs import configure_logging

USAGE: Final = f"usage: python -m services.worker QUEUE[,QUEUE...] | beat   (queues: {', '.join(QUEUES)})"
SWITCH_INTERVAL: Final = 0.0005
"""Seconds for which a thread may keep other threads from Python. The default, 5 ms, delays the event loop too much."""


def main(arguments: list[str]) -> int:
    """Run. Returns the exit code: 2 for unusable settings or arguments."""
    role = arguments[0] if len(arguments) == 1 else ""
    if role != "beat" and not set(role.split(",")) <= set(QUEUES):
        print(USAGE, file=sys.stderr)  # noqa: T201 - for a person, before logging is configured
        return 2
    try:
        settings = Settings.load(require=() if role == "beat" else ("groq_api_key",))
    except SettingsInvalid as error:
        print(error, file=sys.stderr)  # noqa: T201 - likewise
        return 2
    configure_logging(service=f"worker:{role}", level=settings.log_level, log_format=settings.log_format)
    signals.setup_logging.connect(_keep_logging, weak=False)
    sys.setswitchinterval(SWITCH_INTERVAL)
    # Only what the role needs is imported: beat without the model's client starts in half the time and memory.
    module = import_module("services.worker.beat" if role == "beat" else "services.worker.consumer")
    try:
        module.run(settings, role)
    except (
        SettingsInvalid
    ) as error:  # found when objects are made of the settings: an unknown tool, or a port that is taken
        print(error, file=sys.stderr)  # noqa: T201 - likewise
        return 2
    return 0


def _keep_logging(**_: Any) -> None:  # noqa: ANN401 - Celery's signals
    """Being connected is enough: Celery then leaves logging as it is."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
