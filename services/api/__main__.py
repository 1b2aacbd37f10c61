"""`python -m services.api`: serve the API until SIGTERM."""

import signal
import sys
from contextlib import suppress
from typing import Final

import uvicorn

from services.api.app import create_app
from services.api.listener import tune
from services.api.middleware import quiet_cuts
from shared.database_server import all_servers
from shared.errors import SettingsInvalid
from shared.servers import insist
from shared.settings import Settings
from shared.telemetry import capture
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import open_metrics

log = get_logger(__name__)

DRAIN_SECONDS: Final = 20
BACKLOG: Final = 4096
SWITCH_INTERVAL: Final = 0.0005
"""Seconds after which a thread lets others run Python. The default, 5 ms, is too long for the event loop to wait."""


def main() -> int:
    """Serve. Returns the exit code: 1 when the server could not start, 2 for unusable settings or servers."""
    capture.log_everything("api")
    try:
        settings = Settings.load(require=("jwt_secret_key",))
        insist(all_servers(settings))
        metrics = open_metrics(settings.metrics_host, settings.metrics_port)
    except SettingsInvalid as error:
        log.critical("settings_invalid", error=error.message)
        return 2
    quiet_cuts()
    sys.setswitchinterval(SWITCH_INTERVAL)
    # uvicorn drains, restores this handler, and raises the signal again. An end in good order is a success.
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
