"""`python -m services.api`: serve the API until SIGTERM."""

import sys
from importlib import import_module

from shared.database_server import all_servers
from shared.errors import SettingsInvalid
from shared.servers import insist
from shared.settings import Settings
from shared.telemetry import capture
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import open_metrics

log = get_logger(__name__)


def main() -> int:
    """Serve. Returns the exit code: 1 when the server could not start, 2 for unusable settings or servers.

    The application is imported when settings and servers are usable: what is wrong is told in a third of the time.
    """
    capture.log_everything("api")
    try:
        settings = Settings.load(require=("jwt_secret_key",))
        settings.insist_on_a_way_in()
        insist(all_servers(settings))
        metrics = open_metrics(settings.metrics_host, settings.metrics_port)
    except SettingsInvalid as error:
        log.critical("settings_invalid", error=error.message)
        return 2
    return int(import_module("services.api.server").serve(settings, metrics))


if __name__ == "__main__":
    sys.exit(main())
