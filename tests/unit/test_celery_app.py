"""The Celery application's broker: our own transport, with TLS where the URL says so, and nothing but JSON."""

import subprocess
import sys

import pytest

from services.worker.celery_app import create_app

# In a process of its own, as a worker is one: kombu remembers which transport a scheme has once it was used.
ASK = """
import sys
from services.worker.celery_app import create_app
with create_app(sys.argv[1], sweep_interval=2).connection_for_read() as connection:
    print(type(connection.transport).__module__, bool(connection.ssl))
"""


@pytest.mark.parametrize(("scheme", "has_tls"), [("redis", False), ("rediss", True)])
def test_the_transport_is_ours_and_speaks_tls_where_the_url_says_so(scheme: str, has_tls: bool) -> None:
    command = [sys.executable, "-c", ASK, f"{scheme}://:secret@127.0.0.1:1/0"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["services.worker.broker", str(has_tls)]


def test_nothing_but_json_is_accepted() -> None:
    app = create_app("redis://127.0.0.1:1/0", sweep_interval=2)
    assert (list(app.conf.accept_content), app.conf.task_serializer) == (["json"], "json")
