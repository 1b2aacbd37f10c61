"""The server's process: one event loop that serves the application until SIGTERM."""

import gc
import signal
import sys
from contextlib import suppress
from functools import partial
from typing import Any, Final, cast

import uvicorn
from starlette.types import ASGIApp

from services.api.app import create_app
from services.api.http1.connections import ConnectionLimits, Connections
from services.api.http1.listener import tune
from services.api.http1.protocol import HttpProtocol
from services.api.middleware import quiet_cuts
from services.api.proxies import BehindProxies, sees_through_proxies
from services.api.untrusted_proxies import UntrustedProxies
from shared.descriptors import connections_within, raise_limit
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
    config = configure(
        create_app(settings, metrics),
        settings,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = uvicorn.Server(config)
    # The application lasts as long as the process. To look for garbage in it would stop the event loop for 0.3 s each time.
    gc.collect()
    gc.freeze()
    with suppress(KeyboardInterrupt):
        server.run(sockets=[tune(config.bind_socket())])
    return 0 if server.started else 1


def configure(app: ASGIApp, settings: Settings, **others: Any) -> uvicorn.Config:  # noqa: ANN401 - uvicorn's
    """uvicorn, with an application, our protocol, and trust in proxies. Raises the limit of open files as far as it may."""
    possible = connections_within(raise_limit(), settings.database_pool_size)
    limits = ConnectionLimits(
        in_all=min(settings.max_connections or possible, possible),
        per_network=settings.network_max_connections,
        head_seconds=settings.head_timeout_seconds,
        body_seconds=settings.body_timeout_seconds,
        send_seconds=settings.send_timeout_seconds,
    )
    config = uvicorn.Config(app, timeout_keep_alive=settings.idle_timeout_seconds, ws="none", **others)
    config = sees_through_proxies(config, settings.root_path)
    behind = cast("BehindProxies", config.app)
    # Whoever may name a client's address stands for many clients.
    is_proxy = behind.trusted_hosts.__contains__
    config.app = cast("Any", UntrustedProxies(cast("ASGIApp", behind), is_proxy))
    config.http = cast("type[HttpProtocol]", partial(HttpProtocol, connections=Connections(limits, is_proxy)))
    return config
