"""`cortexai invite`: lets one person make an account, where SIGNUP_MODE asks for an invite."""

import asyncio
from datetime import UTC, timedelta
from pathlib import Path
from typing import Final

from pydantic import validate_email
from pydantic_core import PydanticCustomError
from sqlalchemy.exc import DBAPIError

from services.launcher.data_dir import read_running
from services.launcher.databases import settings_of
from services.launcher.errors import AddressInvalid, DatabaseFailed
from services.launcher.migrations import first_line
from services.launcher.program import LOOPBACK
from shared.accounts.invites import NewInvite, make_invite
from shared.accounts.links import url_of
from shared.admin_acts import OPERATOR
from shared.database.engine import open_database
from shared.errors import SettingsInvalid
from shared.settings import AccountSettings

ANYWHERE: Final = ("0.0.0.0", "::", "")  # noqa: S104 - what such a system listens on is reached at this machine


def invite(directory: Path, email: str) -> tuple[str, str]:
    """Make an invite for this address. Returns its link, which is kept nowhere, and a line that tells the rest.

    With mail, the worker mails another link of the same invite.

    Raises:
        AddressInvalid: this is no e-mail address.
        SettingsInvalid: there is no database, or the page's address is not known.
        DatabaseFailed: the database does not answer, or refuses.

    """
    try:
        address = validate_email(email)[1]
    except PydanticCustomError:
        raise AddressInvalid(f"{email} is no e-mail address") from None
    database_url = settings_of(directory).database_url
    settings = AccountSettings.load()
    public_url = settings.public_url or _local_url(directory)
    try:
        made = asyncio.run(_make(database_url, address, settings))
    except DBAPIError as error:
        raise DatabaseFailed(f"DATABASE_URL: {first_line(error)}") from error
    mailed = "" if made.mail_id is None else "; a link is mailed there too, and one of the two can be used"
    ends = f"{made.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return url_of(public_url, "invite", made.token), f"for {address}, once, until {ends}{mailed}"


async def _make(database_url: str, address: str, settings: AccountSettings) -> NewInvite:
    database = open_database(database_url, pool_size=1)
    lifetime = timedelta(days=settings.invite_days)
    try:
        async with database.begin() as db:
            by_mail = settings.mail_from is not None
            return await make_invite(db, OPERATOR, lifetime, email=address, by_mail=by_mail)
    finally:
        await database.dispose()


def _local_url(directory: Path) -> str:
    """Where the page is of the system that runs on this folder."""
    found = read_running(directory)
    if found is None:
        raise SettingsInvalid("PUBLIC_URL: is not set; the link needs the address of the page")
    running, _ = found
    host = LOOPBACK if running.host in ANYWHERE else running.host
    return f"http://{f'[{host}]' if ':' in host else host}:{running.port}"
