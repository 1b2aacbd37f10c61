"""Flower, which shows the workers to operators. It reads FLOWER_BASIC_AUTH and every other FLOWER_… variable itself."""

import logging
import os
import signal

from celery import Celery
from flower.app import Flower
from flower.command import apply_env_options, extract_settings, setup_logging
from flower.urls import settings as web
from tornado.options import options

from shared.errors import SettingsInvalid
from shared.jobs.names import broker_transport
from shared.settings import RedisSettings
from shared.telemetry.logs import get_logger
from shared.weak_secrets import is_weak_password

log = get_logger(__name__)

LOOPBACK = "127.0.0.1"


def run(settings: RedisSettings) -> None:
    """Serve until SIGTERM; on loopback, unless FLOWER_ADDRESS says otherwise.

    Raises:
        SettingsInvalid: FLOWER_BASIC_AUTH is unusable.

    """
    _check_environment()
    # Not by Flower's command line: that would set up logging of its own, and print.
    apply_env_options()
    options.address = options.address or LOOPBACK
    extract_settings()
    setup_logging()
    # It warns whenever it asks the workers for something and none answers, as at the start of a deployment.
    logging.getLogger("flower.inspector").setLevel(logging.ERROR)
    accounts = os.environ.get("FLOWER_BASIC_AUTH", "").split(",")
    if any(is_weak_password(account.partition(":")[2]) for account in accounts):
        log.warning("weak_password", setting="FLOWER_BASIC_AUTH")
    celery = Celery("cortexai", broker=settings.celery_broker_url)
    celery.conf.broker_transport_options = broker_transport(settings.redis_prefix)
    flower = Flower(capp=celery, options=options, **web)
    signal.signal(signal.SIGTERM, lambda *_: flower.io_loop.add_callback_from_signal(flower.io_loop.stop))
    port = flower.start_http_server()
    log.info("flower_listens", address=options.address, port=port)
    flower.start()
    flower.stop()


def _check_environment() -> None:
    """Flower takes its variables as they are. What surrounds a value is no part of it, as with our own settings."""
    for name in [name for name in os.environ if name.startswith("FLOWER_")]:
        os.environ[name] = os.environ[name].strip()
    accounts = os.environ.get("FLOWER_BASIC_AUTH", "")
    if accounts and not all(all(account.partition(":")[::2]) for account in accounts.split(",")):
        raise SettingsInvalid("FLOWER_BASIC_AUTH: must be user:password")
