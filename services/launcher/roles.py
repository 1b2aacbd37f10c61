"""Makes the roles of the running system, with the rights of the migrations' role: `cortexai migrate`.

The one that DATABASE_URL names changes rows and no more. The one that SANDBOX_DATABASE_URL names owns the database of the
sandboxes, and can't connect to the application's.
"""

import asyncio
from typing import Final

import psycopg
from psycopg import sql

from services.launcher.errors import MigrationFailed
from shared.data_sources.sandbox.server import close_to_sandboxes, give_to, make_database, prepare
from shared.database.identity import QUERY, digest
from shared.database.roles import LOCK, Admin, account_of, connect_admin, give_back, give_rights, make_role, owns_tables
from shared.errors import DataSourceUnreachable, SettingsInvalid
from shared.settings import DatabaseSettings
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

FIRST_WITH_ADMINS_OF_ROLES: Final = 160_000
"""Since this version of PostgreSQL, a role that may make roles can change none that it did not make."""
NO_OTHERS: Final = """
SELECT NOT EXISTS (
    SELECT FROM pg_catalog.pg_roles WHERE rolcanlogin AND NOT rolsuper AND NOT rolname = ANY(%s)
        AND NOT rolname ~ '^sandbox_.*_(reader|writer)$'
)
"""


def prepare_servers(settings: DatabaseSettings) -> None:
    """Make the roles and the database for sandboxes, as far as the settings name them. May be repeated.

    Raises:
        SettingsInvalid: MIGRATION_SANDBOX_URL is no superuser's.
        MigrationFailed: a server does not answer, or refuses.

    """
    try:
        if settings.migration_url != settings.database_url:
            _make_app_role(settings)
        if settings.sandbox_database_url is not None:
            asyncio.run(_prepare_sandboxes(settings, settings.sandbox_database_url))
    except psycopg.Error as error:
        said = str(error).partition("\n")[0]
        raise MigrationFailed(f"the roles can't be made: {said}") from error
    except DataSourceUnreachable as error:
        raise MigrationFailed(f"SANDBOX_DATABASE_URL: {error.message}") from error


def _make_app_role(settings: DatabaseSettings) -> None:
    account = account_of(settings.database_url)
    with connect_admin(settings.migration_url) as admin, admin.transaction():
        admin.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        if account.name == account_of(settings.migration_url).name or not account.name:
            log.warning("app_role_is_the_migrations", advice="cortexai doctor")
            return
        if owns_tables(admin, account.name):
            log.warning("app_role_owns_tables", advice="name another role in DATABASE_URL")
            give_back(admin, account.name)
            return
        is_made = make_role(admin, account)
        has_limits = give_rights(admin, account.name, settings.timeouts)
        if not (is_made and has_limits):  # somebody else has made the role, who can mend that
            log.warning("app_role_not_changed", advice="set its password and its time limits by ALTER ROLE")
        _close_other_databases(admin, settings)


def _close_other_databases(admin: Admin, settings: DatabaseSettings) -> None:
    """Keep the roles out of the databases that every server has. Where others use the server, they may need those."""
    known = [account_of(url).name for url in (settings.database_url, settings.sandbox_database_url) if url]
    ((is_superuser, has_no_others),) = admin.execute(
        f"SELECT current_setting('is_superuser') = 'on', ({NO_OTHERS})",
        [known],
    ).fetchall()
    if is_superuser and has_no_others:
        for name in ("postgres", "template1"):
            admin.execute(sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))


async def _prepare_sandboxes(settings: DatabaseSettings, url: str) -> None:
    owner = account_of(url)
    admin_url = settings.migration_sandbox_url
    if admin_url is None or account_of(admin_url).name == owner.name:
        await prepare(url)
    else:
        with connect_admin(admin_url, dbname="postgres") as admin, admin.transaction():
            _insist_on_superuser(admin)
            admin.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            make_role(admin, owner)
        await make_database(admin_url)
        await prepare(admin_url)
        with connect_admin(settings.migration_url) as admin:
            ((identity,),) = admin.execute(QUERY).fetchall()
        await give_to(admin_url, owner.name, digest(identity))
    known = [account_of(each).name for each in (settings.database_url, settings.migration_url)]
    if not await close_to_sandboxes(settings.migration_url, known=[*known, owner.name]):
        # Accounts that we do not know may need the right that would have to be taken away.
        log.warning("database_open_to_sandboxes", advice="cortexai doctor")


def _insist_on_superuser(admin: Admin) -> None:
    """What the owner can't do is done here, and before PostgreSQL 16 whoever makes roles can change any.

    Raises:
        SettingsInvalid: the account is no superuser, or the server is older.

    """
    is_superuser = admin.info.parameter_status("is_superuser") == "on"
    if not is_superuser or admin.info.server_version < FIRST_WITH_ADMINS_OF_ROLES:
        raise SettingsInvalid("MIGRATION_SANDBOX_URL: must name a superuser of PostgreSQL 16 or newer")
