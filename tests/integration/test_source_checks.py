"""The doctor's look at the rights of users' data sources."""

import asyncio
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import insert

from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.source_checks import source_rights
from shared.data_sources.encryption import Keyring
from shared.database.engine import open_database
from shared.database.tables import DataSource
from shared.settings import Settings
from tests.conftest import settings_for
from tests.support.data_sources import make_source
from tests.support.operations import new_user

KEY = Fernet.generate_key().decode()


@pytest.fixture
def settings(database_url: str) -> Settings:
    return settings_for(
        database_url, "redis://127.0.0.1:1", "http://127.0.0.1:1", data_source_keys=KEY, data_source_hosts="127.0.0.1"
    )


async def _add(settings: Settings, reader_url: str) -> int:
    """A data source of a new user's."""
    database = open_database(settings.database_url, pool_size=1)
    user, keyring = (
        new_user(settings.database_url.replace("+psycopg", ""), f"{uuid4().hex}@example.com"),
        Keyring([KEY]),
    )
    encrypted = keyring.encrypt(reader_url, user, "reader_url")
    values = {"user_id": user, "name": "Mine", "kind": "postgresql", "reader_url": encrypted}
    async with database.connect() as db:
        added = (await db.execute(insert(DataSource).values(values).returning(DataSource.id))).scalar_one()
    await database.dispose()
    return added


def test_the_doctor_tells_rights_that_roles_should_not_have(settings: Settings, postgres: EmbeddedPostgres) -> None:
    source = make_source(postgres)
    with source.owner() as owner:
        owner.execute("REVOKE TEMP ON DATABASE " + owner.info.dbname + " FROM PUBLIC")
    fine = asyncio.run(_add(settings, source.reader_url))
    # A writer in the place of the reader.
    bold = asyncio.run(_add(settings, source.writer_url))
    gone = asyncio.run(_add(settings, source.reader_url.replace("/source_", "/no_source_")))
    found = {finding.subject: finding for finding in source_rights(settings)}
    assert f"data source {fine}" not in found or "may write" not in found[f"data source {fine}"].detail
    assert found[f"data source {bold}"].state == "note"
    assert "the reader: " in found[f"data source {bold}"].detail
    assert "notes" in found[f"data source {bold}"].detail
    assert found[f"data source {gone}"].remedy == "its user can mend that"
    assert found["rights of data sources"].detail.endswith("of 3 have roles as they should be")
    assert found["rights of data sources"].state == "note"
    told = " ".join(finding.detail for finding in found.values())
    assert "a-password" not in told
