"""The second factor of an account: switch it on and off, and get recovery codes."""

from typing import Any, Final

from fastapi import APIRouter, status

from services.api.accounts.queries import find_account, void_logins_under_way
from services.api.accounts.schemas import CodeGiven, NewSecondFactor, RecoveryCodes
from services.api.accounts.second_factor import PURPOSE, check_code, confirm, keyring_of, make_recovery_codes
from services.api.accounts.second_factor_queries import begin_factor, delete_factor, lock_factor
from services.api.auth.sessions import end_other_sessions
from services.api.auth.totp import new_secret, uri_of
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, ClientNetwork
from services.api.reauthentication import RecentlyAuthenticated, insist_on_it_still
from shared.accounts.mails import add_notice
from shared.errors import CodeMismatch, SecondFactorAbsent

router = APIRouter(route_class=JsonRoute, prefix="/api/auth/second-factor", tags=["auth"])

_FORBIDDEN: Final = "origin_not_allowed, credential_not_allowed, reauthentication_required"
_UNCHECKED: Final[dict[int | str, dict[str, Any]]] = {
    503: {"description": "database_unavailable, second_factor_unavailable"}
}


@router.post(
    "",
    responses={
        403: {"description": _FORBIDDEN},
        409: {"description": "second_factor_off, second_factor_present"},
    },
)
async def begin_second_factor(principal: RecentlyAuthenticated, resources: AppResources) -> NewSecondFactor:
    """Get a secret for an authenticator app. Logins ask for its codes once the first one has confirmed it."""
    keyring, secret = keyring_of(resources), new_secret()
    async with resources.database.begin() as db:
        account = await find_account(db, principal.user_id)
        await begin_factor(db, principal.user_id, keyring.encrypt(secret, principal.user_id, PURPOSE))
    return NewSecondFactor(secret=secret, uri=uri_of(secret, account.email))


@router.post(
    "/confirm",
    responses=_UNCHECKED
    | {403: {"description": f"{_FORBIDDEN}, code_mismatch"}, 409: {"description": "second_factor_absent"}},
)
async def confirm_second_factor(
    body: CodeGiven, principal: RecentlyAuthenticated, resources: AppResources
) -> RecoveryCodes:
    """Switch the second factor on, by the app's first code. All other sessions of the account end.

    Wrong codes are not counted: who asks was told the secret.
    """
    async with resources.database.begin() as db:
        await void_logins_under_way(db, principal.user_id)
        await insist_on_it_still(db, principal, resources)
        codes = await confirm(resources, db, principal.user_id, body.code)
        await end_other_sessions(db, principal.user_id, principal.session_id)
        mail_id = await add_notice(db, "second_factor_on", principal.user_id)
    if mail_id is not None:
        resources.jobs.mail(mail_id)
    return RecoveryCodes(recovery_codes=codes)


@router.delete(
    "",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=_UNCHECKED
    | {
        403: {"description": f"{_FORBIDDEN}, code_mismatch"},
        409: {"description": "second_factor_absent"},
        429: {"description": "too_many_tries"},
    },
)
async def delete_second_factor(
    body: CodeGiven, principal: RecentlyAuthenticated, resources: AppResources, network: ClientNetwork
) -> None:
    """Switch the second factor off, by one of its codes or a recovery code. All other sessions of the account end."""
    async with resources.database.connect() as db:
        if not (await find_account(db, principal.user_id)).has_second_factor:
            raise SecondFactorAbsent
    if not await check_code(resources, principal.user_id, body.code, network):
        raise CodeMismatch
    async with resources.database.begin() as db:
        await void_logins_under_way(db, principal.user_id)
        await delete_factor(db, principal.user_id)
        await end_other_sessions(db, principal.user_id, principal.session_id)
        mail_id = await add_notice(db, "second_factor_off", principal.user_id)
    if mail_id is not None:
        resources.jobs.mail(mail_id)


@router.post(
    "/recovery-codes",
    responses={403: {"description": _FORBIDDEN}, 409: {"description": "second_factor_absent"}},
)
async def renew_recovery_codes(principal: RecentlyAuthenticated, resources: AppResources) -> RecoveryCodes:
    """Get new recovery codes. Those before are void."""
    async with resources.database.begin() as db:
        factor = await lock_factor(db, principal.user_id)
        if factor is None or factor.confirmed_at is None:
            raise SecondFactorAbsent
        codes = await make_recovery_codes(db, principal.user_id)
    return RecoveryCodes(recovery_codes=codes)
