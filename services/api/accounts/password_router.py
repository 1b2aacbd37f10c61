"""Change the password, and prove again who you are."""

from typing import Any, Final

from fastapi import APIRouter, status

from services.api.accounts.password_check import account_key, check_own_password
from services.api.accounts.password_login import TAKES_PASSWORDS
from services.api.accounts.queries import Credentials, change_password_hash, find_own_credentials
from services.api.accounts.schemas import PasswordChange, Reauthentication
from services.api.accounts.second_factor import check_code
from services.api.auth.new_passwords import check_new_password
from services.api.auth.passwords import normalized
from services.api.auth.sessions import end_other_sessions, note_authentication
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, ClientNetwork, SessionPrincipal
from services.api.resources import Resources
from shared.accounts.mails import add_notice, void_links
from shared.errors import CodeMismatch, PasswordMismatch, PasswordUnchanged, ReauthenticationRequired

router = APIRouter(route_class=JsonRoute, prefix="/api/auth", tags=["auth"])

_TRIED: Final[dict[int | str, dict[str, Any]]] = {
    429: {"description": "too_many_tries"},
    503: {"description": "database_unavailable, too_busy, second_factor_unavailable"},
}


@router.post(
    "/password",
    status_code=status.HTTP_204_NO_CONTENT,
    dependencies=TAKES_PASSWORDS,
    responses=_TRIED
    | {
        403: {
            "description": "origin_not_allowed, credential_not_allowed, password_mismatch, code_mismatch, "
            "password_login_off"
        },
        422: {
            "description": "validation_failed, password_too_common, password_is_the_email, password_is_the_product, "
            "password_unchanged"
        },
    },
)
async def change_password(
    body: PasswordChange, principal: SessionPrincipal, resources: AppResources, network: ClientNetwork
) -> None:
    """Change the password. All other sessions of the account end, and all links that were mailed; this session stays.

    `code` is needed where the account has a second factor: who has a browser and the password alone can't take the account.
    """
    if normalized(body.new_password) == normalized(body.current_password):
        raise PasswordUnchanged(field="new_password")
    async with resources.database.connect() as db:
        found = await find_own_credentials(db, principal.user_id)
    await check_new_password(body.new_password, found.email, field="new_password")
    await _prove(resources, found, body.current_password, body.code, network)
    async with resources.passwords.hasher(network, found.email.lower()) as hasher:
        new_hash = await hasher.hash(body.new_password)
    async with resources.database.begin() as db:
        if not await change_password_hash(db, found, new_hash):
            raise PasswordMismatch  # another request has changed it meanwhile
        await end_other_sessions(db, principal.user_id, principal.session_id)
        await void_links(db, principal.user_id)
        mail_id = await add_notice(db, "password_changed", principal.user_id)
    if mail_id is not None:
        resources.jobs.mail(mail_id)


@router.post(
    "/reauthenticate",
    status_code=status.HTTP_204_NO_CONTENT,
    dependencies=TAKES_PASSWORDS,
    responses=_TRIED
    | {
        403: {
            "description": "origin_not_allowed, credential_not_allowed, password_mismatch, code_mismatch, "
            "reauthentication_required, password_login_off"
        }
    },
)
async def reauthenticate(
    body: Reauthentication, principal: SessionPrincipal, resources: AppResources, network: ClientNetwork
) -> None:
    """Prove again who you are, for what needs a recent authentication.

    Who has no password does so by a provider: `POST /api/auth/oidc/{provider}/reauthenticate`.
    A token that belongs to no session is answered `reauthentication_required`: log in again for another one.
    """
    if principal.session_id is None:
        raise ReauthenticationRequired
    async with resources.database.connect() as db:
        found = await find_own_credentials(db, principal.user_id)
    await _prove(resources, found, body.password, body.code, network)
    async with resources.database.connect() as db:
        await note_authentication(db, principal.user_id, principal.session_id)


async def _prove(resources: Resources, found: Credentials, password: str, code: str | None, network: str) -> None:
    """See that somebody who is logged in has all that a login asks for.

    Raises:
        PasswordMismatch, TooManyTries, TooBusy: as `check_own_password`.
        CodeMismatch: the code of the second factor is missing, wrong, or was used before.
        SecondFactorUnavailable: the code can't be checked.

    """
    await check_own_password(resources, found, password, network)
    if found.has_second_factor and (code is None or not await check_code(resources, found.id, code, network)):
        raise CodeMismatch
    await resources.tries.note_right(account_key(found.id), network)
