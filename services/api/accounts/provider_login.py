"""Which account an identity leads to: the one that it is linked to, one with its address, or a new one."""

from typing import Final

from pydantic import EmailStr, TypeAdapter, ValidationError

from services.api.accounts.identity_queries import (
    add_identity,
    add_user_without_password,
    lock_owner_of_address,
    use_identity,
)
from services.api.accounts.password_check import account_key
from services.api.accounts.queries import Credentials, find_own_credentials
from services.api.accounts.signing_up import insist_on_open_signup
from services.api.auth.oidc.id_tokens import Identity
from services.api.auth.oidc.provider import Identified, Provider
from services.api.auth.passwords import rounds_of
from services.api.resources import Resources
from shared.accounts.mails import add_notice
from shared.database.engine import Connection
from shared.errors import AccountDisabled, CredentialsInvalid, IdentityEmailUnverified, IdentityNotLinked
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

TRIES: Final = 5
"""Others may be making the same account at the same time: whoever finds that so looks again."""
_ADDRESS: Final[TypeAdapter[str]] = TypeAdapter(EmailStr)


class _SomebodyWasQuicker(Exception):
    """The account or the identity has been made meanwhile. Ends the transaction."""


async def find_or_make_account(
    resources: Resources, provider: Provider, found: Identified, network: str
) -> Credentials:
    """The account of somebody whom a provider has identified. A new one has no password, and counts as a sign-up.

    Raises:
        AccountDisabled: an admin or the operator keeps the user out.
        IdentityEmailUnverified: the identity is new, and the provider vouches for no address.
        IdentityNotLinked: an account has the address, and its user has not shown to read mail there: anybody can sign up with
            an address that is not theirs, and wait for its owner to come. Or the account has a second factor, which
            nobody goes around without having linked the identity.
        SignupClosed, InviteRequired: nobody may make an account here, or not without an invite, which a login has none of.
        TooManySignups: too many accounts were made from this network.
        IdentityInvalid, ProviderUnavailable, TooBusy: the provider does not tell an address.

    """
    account = await _find(resources, found.identity)
    if account is None:
        identity = await provider.with_email(found, network)
        account = await _link_or_make(resources, provider, identity, _vouched(identity), network)
    await resources.tries.known.remember(account_key(account.id), network)
    return account


async def _find(resources: Resources, identity: Identity) -> Credentials | None:
    """The account that has the identity. None where nobody has it.

    The credentials are those of the moment at which the account has the identity. The beginning of a session looks whether
    they are still the same: so who takes the identity away also stops a login that is under way.
    """
    async with resources.database.begin() as db:
        user_id = await use_identity(db, identity.issuer, identity.subject)
        account = None if user_id is None else await find_own_credentials(db, user_id)
    if account is not None:
        _insist_on_being_let_in(account)
    return account


def _insist_on_being_let_in(account: Credentials) -> None:
    """Refuse whom an admin keeps out, or the operator, by a hash that is none."""
    is_locked = account.password_hash is not None and rounds_of(account.password_hash) is None
    if is_locked or not account.may_log_in:
        raise AccountDisabled


def _vouched(identity: Identity) -> str:
    """The address for which the provider vouches, in the form in which addresses are kept."""
    if identity.email is None or not identity.email_verified:
        raise IdentityEmailUnverified
    try:
        return _ADDRESS.validate_python(identity.email)
    except ValidationError:
        raise IdentityEmailUnverified from None


async def _link_or_make(
    resources: Resources, provider: Provider, identity: Identity, email: str, network: str
) -> Credentials:
    is_counted = False
    for _ in range(TRIES):
        known = await _link(resources, provider, identity, email) or await _find(resources, identity)
        if known is not None:
            return known
        if not is_counted:
            # Whoever may not sign up may not come in as somebody new here either.
            insist_on_open_signup(resources)
            await resources.signups.take(network)
            is_counted = True
        made = await _make(resources, provider, identity, email)
        if made is not None:
            return made
    raise CredentialsInvalid  # the account is made and deleted again and again


async def _link(resources: Resources, provider: Provider, identity: Identity, email: str) -> Credentials | None:
    """Link the identity to the account with its address. None where there is none, or the identity is linked meanwhile."""
    async with resources.database.begin() as db:
        owner = await lock_owner_of_address(db, email)
        if owner is None:
            return None
        account = await find_own_credentials(db, owner.id)
        _insist_on_being_let_in(account)
        if account.has_second_factor or not owner.is_verified:
            raise IdentityNotLinked
        if not await add_identity(db, account.id, identity.issuer, identity.subject):
            return None
        mail_id = await add_notice(db, "identity_linked", account.id)
    if mail_id is not None:
        resources.jobs.mail(mail_id)
    log.info("identity_linked", user_id=account.id, provider=provider.settings.id, how="by_address")
    return account


async def _make(resources: Resources, provider: Provider, identity: Identity, email: str) -> Credentials | None:
    """Make an account. None where somebody has made it, or one with the identity, meanwhile."""
    try:
        async with resources.database.begin() as db:
            account = await _add(db, identity, email)
    except _SomebodyWasQuicker:
        return None
    log.info("account_made_by_provider", user_id=account.id, provider=provider.settings.id)
    return account


async def _add(db: Connection, identity: Identity, email: str) -> Credentials:
    user_id = await add_user_without_password(db, email)
    if user_id is None or not await add_identity(db, user_id, identity.issuer, identity.subject):
        raise _SomebodyWasQuicker
    return await find_own_credentials(db, user_id)
