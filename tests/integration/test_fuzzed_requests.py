"""Thousands of requests that the OpenAPI document allows or does not: each answer is one that the document names."""

import asyncio
import random
from functools import partial

import pytest
from cryptography.fernet import Fernet

from services.launcher.admins import make_admin
from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from shared.settings import Settings
from tests.conftest import settings_for
from tests.integration.routes.conftest import NOBODY
from tests.support.databases import as_app
from tests.support.fuzzing import Amounts, fuzz

AMOUNTS = Amounts(allowed=1, forbidden=0, mutations=8)
"""bench/fuzz.py makes far more, of all kinds."""


@pytest.fixture
def settings(database_url: str, valkey: EmbeddedValkey, postgres: EmbeddedPostgres) -> Settings:
    """With sandboxes, and room for all messages."""
    return settings_for(
        database_url,
        valkey.url,
        NOBODY,
        data_source_keys=Fernet.generate_key().decode(),
        sandbox_database_url=postgres.url_of("sandbox"),
        queue_max_depth=100_000,
    )


@pytest.mark.timeout(300)
async def test_every_answer_is_one_that_the_document_names(api: str, database_url: str) -> None:
    cases, new_admin = 0, partial(make_admin, as_app(database_url))
    for seed in (1, random.SystemRandom().randrange(2**32)):
        found = await asyncio.to_thread(fuzz, api, seed=seed, amounts=AMOUNTS, make_admin=new_admin)
        assert found.faults == {}, f"seed {seed}"
        cases += found.cases
    assert cases >= 2_000, cases
