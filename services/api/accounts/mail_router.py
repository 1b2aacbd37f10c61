"""Verifying the e-mail address, and setting a new password, by links that are mailed."""

from typing import Any, Final

from fastapi import APIRouter, Response, status

from services.api.accounts.mail_queries import reset_password, verify_email
from services.api.accounts.password_login import TAKES_PASSWORDS
from services.api.accounts.queries import find_account
from services.api.accounts.schemas import EmailGiven, LinkGiven, PasswordReset
from services.api.auth.new_passwords import check_new_password
from services.api.auth.passwords import rounds_of
from services.api.auth.sessions import end_other_sessions
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, ClientNetwork, SessionPrincipal
from shared.accounts.links import find_link
from shared.accounts.mails import add_mail
from shared.errors import EmailAlreadyVerified, LinkInvalid

router = APIRouter(route_class=JsonRoute, prefix="/api/auth", tags=["auth"])

_ACCEPTED: Final[dict[str, Any]] = {"status_code": status.HTTP_202_ACCEPTED, "response_class": Response}
_LIMITED: Final[dict[int | str, dict[str, Any]]] = {429: {"description": "too_many_mails"}}
_BY_LINK: Final[dict[int | str, dict[str, Any]]] = {422: {"description": "validation_failed, link_invalid"}}


@router.post(
    "/verify-email",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=_BY_LINK | {403: {"description": "origin_not_allowed, credential_not_allowed"}},
)
async def use_verification_link(body: LinkGiven, principal: SessionPrincipal, resources: AppResources) -> None:
    """Verify the e-mail address of your account, by the token of a link that was mailed there. Each link is good once.

    Who reads the mail and who is logged in have to be one person: else somebody could make an account with a stranger's
    address, and have the stranger verify it.
    """
    async with resources.database.begin() as db:
        found = await find_link(db, body.token, "verify_email")
        if found is None:
            raise LinkInvalid
        await verify_email(db, principal.user_id, found, body.token)


@router.post(
    "/verify-email/send",
    responses=_LIMITED
    | {
        403: {"description": "origin_not_allowed, credential_not_allowed"},
        409: {"description": "email_already_verified"},
    },
    **_ACCEPTED,
)
async def send_verification_link(
    principal: SessionPrincipal, resources: AppResources, network: ClientNetwork
) -> Response:
    """Have a link mailed that verifies the account's address. Links before it stay good until they expire."""
    async with resources.database.connect() as db:
        account = await find_account(db, principal.user_id)
    if account.email_verified:
        raise EmailAlreadyVerified
    await resources.mail_limit.take(network, account.email)
    async with resources.database.begin() as db:
        mail_id = await add_mail(db, "verify_email", account.email, user_id=principal.user_id)
    resources.jobs.mail(mail_id)
    return Response(status_code=status.HTTP_202_ACCEPTED)


@router.post(
    "/password/forgot",
    dependencies=TAKES_PASSWORDS,
    responses=_LIMITED | {403: {"description": "password_login_off"}},
    **_ACCEPTED,
)
async def ask_for_reset_link(body: EmailGiven, resources: AppResources, network: ClientNetwork) -> Response:
    """Have a link mailed that sets a new password, if an account has this address.

    The same is done for every address: whether an account has it, the worker looks. So neither the answer nor the time that
    it takes tells.
    """
    await resources.mail_limit.take(network, body.email)
    async with resources.database.begin() as db:
        mail_id = await add_mail(db, "reset_password", body.email)
    resources.jobs.mail(mail_id)
    return Response(status_code=status.HTTP_202_ACCEPTED)


@router.post(
    "/password/reset",
    status_code=status.HTTP_204_NO_CONTENT,
    dependencies=TAKES_PASSWORDS,
    responses={
        403: {"description": "password_login_off"},
        422: {
            "description": "validation_failed, link_invalid, password_too_common, password_is_the_email, "
            "password_is_the_product"
        },
        503: {"description": "database_unavailable, too_busy"},
    },
)
async def use_reset_link(body: PasswordReset, resources: AppResources, network: ClientNetwork) -> None:
    """Set a new password, or a first one, by the token of a link that was mailed. Each link is good once.

    All sessions of the account end. The account's address is verified by this. Where it was verified before, the second factor
    stays: the next login asks for its code. Else the second factor, the API keys and the identities at providers go.
    """
    async with resources.database.connect() as db:
        found = await find_link(db, body.token, "reset_password")
    if found is None or (found.password_hash is not None and rounds_of(found.password_hash) is None):
        raise LinkInvalid  # the operator has locked the account
    await check_new_password(body.password, found.email)
    async with resources.passwords.hasher(network, found.email.lower()) as hasher:
        new_hash = await hasher.hash(body.password)
    async with resources.database.begin() as db:
        await reset_password(db, found, body.token, new_hash)
        await end_other_sessions(db, found.user_id, None)
        mail_id = await add_mail(db, "password_reset", found.email, user_id=found.user_id)
    resources.jobs.mail(mail_id)
