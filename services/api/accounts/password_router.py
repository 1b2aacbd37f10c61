"""Change the password, and prove again who you are."""

from typing import Any, Final

from fastapi import APIRouter, status

from services.api.accounts.password_check import account_key, check_own_password
from services.api.accounts.queries import change_password_hash, find_account
from services.api.accounts.schemas import PasswordChange, Reauthentication
from services.api.accounts.second_factor import check_code
from services.api.auth.new_passwords import check_new_password
from services.api.auth.passwords import normalized
from services.api.auth.sessions import end_other_sessions, note_authentication
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, ClientNetwork, SessionPrincipal
from shared.errors import CodeMismatch, PasswordMismatch, PasswordUnchanged, ReauthenticationRequired

router = APIRouter(route_class=JsonRoute, prefix="/api/auth", tags=["auth"])

_TRIED: Final[dict[int | str, dict[str, Any]]] = {
    429: {"description": "too_many_tries"},
    503: {"description": "database_unavailable, too_busy, second_factor_unavailable"},
}


@router.post(
    "/password",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=_TRIED
    | {
        403: {"description": "origin_not_allowed, credential_not_allowed, password_mismatch"},
        422: {
            "description": "validation_failed, password_too_common, password_is_the_email, password_is_the_product, "
            "password_unchanged"
        },
        503: {"description": "database_unavailable, too_busy"},
    },
)
async def change_password(
    body: PasswordChange, principal: SessionPrincipal, resources: AppResources, network: ClientNetwork
) -> None:
    """Change the password. All other sessions of the account end; this one stays."""
    if normalized(body.new_password) == normalized(body.current_password):
        raise PasswordUnchanged(field="new_password")
    async with resources.database.connect() as db:
        account = await find_account(db, principal.user_id)
    await check_new_password(body.new_password, account.email, field="new_password")
    proved = await check_own_password(
        resources, principal.user_id, body.current_password, network, to_hash=body.new_password
    )
    async with resources.database.begin() as db:
        if proved.new_hash is None or not await change_password_hash(db, proved.credentials, proved.new_hash):
            raise PasswordMismatch  # another request has changed it meanwhile
        await end_other_sessions(db, principal.user_id, principal.session_id)
    await resources.tries.note_right(account_key(principal.user_id), network)


@router.post(
    "/reauthenticate",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=_TRIED
    | {
        403: {
            "description": "origin_not_allowed, credential_not_allowed, password_mismatch, code_mismatch, "
            "reauthentication_required"
        }
    },
)
async def reauthenticate(
    body: Reauthentication, principal: SessionPrincipal, resources: AppResources, network: ClientNetwork
) -> None:
    """Prove again who you are, for what needs a recent authentication.

    A token that belongs to no session is answered `reauthentication_required`: log in again for another one.
    """
    if principal.session_id is None:
        raise ReauthenticationRequired
    proved = await check_own_password(resources, principal.user_id, body.password, network)
    if proved.credentials.has_second_factor and (
        body.code is None or not await check_code(resources, principal.user_id, body.code, network)
    ):
        raise CodeMismatch
    async with resources.database.connect() as db:
        await note_authentication(db, principal.user_id, principal.session_id)
    await resources.tries.note_right(account_key(principal.user_id), network)
