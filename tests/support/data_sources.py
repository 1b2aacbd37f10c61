"""A user's database, with roles as they should be."""

from dataclasses import dataclass
from uuid import uuid4

import psycopg
from psycopg import sql

from services.launcher.embedded.postgres import EmbeddedPostgres
from shared.data_sources.hosts import Address, own_address
from shared.data_sources.urls import read_source_url

PASSWORD = "a-password"
TABLES = """
CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL, done boolean DEFAULT false);
INSERT INTO notes (text) SELECT 'note ' || i FROM generate_series(1, 5) AS i;
"""


@dataclass(frozen=True, slots=True)
class Source:
    """The URLs of a database: its owner's, who is a superuser, and its two roles'."""

    owner_url: str
    reader_url: str
    writer_url: str

    async def reader(self) -> Address:
        return await own_address(read_source_url(self.reader_url))

    async def writer(self) -> Address:
        return await own_address(read_source_url(self.writer_url))

    def owner(self) -> psycopg.Connection:
        return psycopg.connect(self.owner_url, autocommit=True)


def make_source(server: EmbeddedPostgres, tables: str = TABLES) -> Source:
    """A new database with tables, a role that may read them and one that may write them."""
    name = f"source_{uuid4().hex}"
    reader, writer = f"{name}_reader", f"{name}_writer"
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} STRATEGY wal_log").format(sql.Identifier(name)))
        for role in (reader, writer):
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), PASSWORD))
    with psycopg.connect(server.url_of(name), autocommit=True) as owner:
        owner.execute(tables.encode())
        for rights, role in (("SELECT", reader), ("SELECT, INSERT, UPDATE, DELETE", writer)):
            grant = sql.SQL("GRANT {} ON ALL TABLES IN SCHEMA public TO {}")
            owner.execute(grant.format(sql.SQL(rights), sql.Identifier(role)))
    where = server.url_of(name).rpartition("@")[2]
    urls = [f"postgresql://{role}:{PASSWORD}@{where}" for role in (reader, writer)]
    return Source(server.url_of(name), *urls)
