"""`python -m services.api`: serve the API until SIGTERM."""

import signal
import sys
from contextlib import suppress
from typing import Final

import uvicorn

from services.api.app import create_app
from services.api.listener import tune
from services.api.middleware import quiet_cuts
from shared.errors import SettingsInvalid
from shared.settings import Settings
from shared.telemetry.logs import configure_logging
from shared.telemetry.metrics import open_metrics

DRAIN_SECONDS: Final = 20
BACKLOG: Final = 4096
SWITCH_INTERVAL: Final = 0.0005
"""Seconds that a thread may keep others from Python. The default, 5 ms, is an age for the event loop."""


def main() -> int:
    """Run. Returns the exit code: 1 when it could not start, 2 for unusable settings."""
    try:
        settings = Settings.load(require=("jwt_secret_key",))
        metrics = open_metrics(settings.metrics_host, settings.metrics_port)
    except SettingsInvalid as error:
        print(error, file=sys.stderr)  # noqa: T201 - logging is not configured yet, and this is for a person
        return 2
    configure_logging(service="api", level=settings.log_level, log_format=settings.log_format)
    quiet_cuts()
    sys.setswitchinterval(SWITCH_INTERVAL)
    # uvicorn drains, restores this, and raises the signal again. Having left in good order is success.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    config = uvicorn.Config(
        create_app(settings, metrics),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=65,
    )
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[tune(config.bind_socket())])
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
