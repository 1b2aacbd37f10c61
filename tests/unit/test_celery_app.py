"""The Celery application's broker: our own transport, with TLS where the URL says so, and nothing but JSON."""

import pytest

from services.worker.broker import Transport
from services.worker.celery_app import create_app
from tests.conftest import settings_for


@pytest.mark.parametrize(("scheme", "has_tls"), [("redis", False), ("rediss", True)])
def test_the_transport_is_ours_and_speaks_tls_where_the_url_says_so(scheme: str, has_tls: bool) -> None:
    app = create_app(
        settings_for("postgresql://127.0.0.1/x", f"{scheme}://:secret@127.0.0.1:1/0", "http://127.0.0.1:2")
    )
    with app.connection_for_read() as connection:
        assert isinstance(connection.transport, Transport)
        assert (connection.as_uri().partition(":")[0], bool(connection.ssl)) == (scheme, has_tls)


def test_nothing_but_json_is_accepted() -> None:
    app = create_app(settings_for("postgresql://127.0.0.1/x", "redis://127.0.0.1:1/0", "http://127.0.0.1:2"))
    assert (list(app.conf.accept_content), app.conf.task_serializer) == (["json"], "json")
