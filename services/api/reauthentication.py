"""Recent authentication: who changes who may log in, or ends an account, has proved the password a short while ago.

Source: OWASP ASVS 5, V7.5.1; NIST SP 800-63B-4, section 5.2.
"""

from typing import Annotated

from fastapi import Depends

from services.api.auth.principal import Principal
from services.api.auth.sessions import is_recently_authenticated
from services.api.dependencies import LOGGED_IN, AdminPrincipal, AppResources, SessionPrincipal
from services.api.resources import Resources
from shared.database.engine import Connection
from shared.errors import ReauthenticationRequired


async def recently_authenticated(principal: SessionPrincipal, resources: AppResources) -> Principal:
    """The principal, whose person has proved the password a short while ago.

    Raises:
        ReauthenticationRequired: it was too long ago.

    """
    await insist_on_recent_authentication(principal, resources)
    return principal


RecentlyAuthenticated = Annotated[Principal, Depends(recently_authenticated)]


async def recently_authenticated_admin(principal: AdminPrincipal, resources: AppResources) -> Principal:
    """The principal, who is an admin. One who is logged in has proved the password a short while ago.

    A program with an API key has no password to prove: its admin has proved one when the key was made.

    Raises:
        ReauthenticationRequired: it was too long ago.

    """
    if principal.credential in LOGGED_IN:
        await insist_on_recent_authentication(principal, resources)
    return principal


RecentAdmin = Annotated[Principal, Depends(recently_authenticated_admin)]


async def insist_on_recent_authentication(principal: Principal, resources: Resources) -> None:
    """For a route that asks for it only where the body has certain fields.

    An access token of the release before belongs to no session, so nothing tells when its person proved anything.

    Raises:
        ReauthenticationRequired: as `recently_authenticated`.

    """
    async with resources.database.connect() as db:
        await insist_on_it_still(db, principal, resources)


async def insist_on_it_still(db: Connection, principal: Principal, resources: Resources) -> None:
    """Once more, in a transaction that has locked the user: the session may have ended while this request was waiting.

    Raises:
        ReauthenticationRequired: as `recently_authenticated`.

    """
    session_id, within = principal.session_id, resources.reauthenticate_after
    if session_id is None or not await is_recently_authenticated(db, principal.user_id, session_id, within):
        raise ReauthenticationRequired
