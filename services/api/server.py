"""The server's process: one event loop that serves the application until SIGTERM."""

import signal
import sys
from contextlib import suppress
from typing import Final

import uvicorn

from services.api.app import create_app
from services.api.http_protocol import HttpProtocol
from services.api.listener import tune
from services.api.middleware import quiet_cuts
from services.api.proxies import sees_through_proxies
from shared.settings import Settings
from shared.telemetry.metrics import Metrics

DRAIN_SECONDS: Final = 20
BACKLOG: Final = 4096
SWITCH_INTERVAL: Final = 0.0005
"""Seconds after which a thread lets others run Python. The default, 5 ms, is too long for the event loop to wait."""


def serve(settings: Settings, metrics: Metrics) -> int:
    """Serve. Returns the exit code: 1 when the server could not start."""
    quiet_cuts()
    sys.setswitchinterval(SWITCH_INTERVAL)
    # uvicorn drains, restores this handler, and raises the signal again. An end in good order is a success.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    config = uvicorn.Config(
        create_app(settings, metrics),
        host=settings.host,
        port=settings.port,
        http=HttpProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=65,
    )
    server = uvicorn.Server(sees_through_proxies(config, settings.root_path))
    with suppress(KeyboardInterrupt):
        server.run(sockets=[tune(config.bind_socket())])
    return 0 if server.started else 1
