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
from services.api.resources import Resources
from shared.database.engine import Connection
from shared.errors import AccountDisabled, CredentialsInvalid, IdentityEmailUnverified, IdentityNotLinked
from shared.ids import UserId
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
        AccountDisabled: an admin keeps the user out.
        IdentityEmailUnverified: the identity is new, and the provider vouches for no address.
        IdentityNotLinked: an account has the address, and its user has not shown to read mail there: anybody can sign up with
            an address that is not theirs, and wait for its owner to come. Or the account has a second factor, which
            nobody goes around without having linked the identity.
        SignupClosed, InviteRequired: nobody may make an account here, or not without an invite, which a login has none of.
        TooManySignups: too many accounts were made from this network.
        IdentityInvalid, ProviderUnavailable, TooBusy: the provider does not tell an address.

    """
    identity = found.identity
    user_id = await _find(resources, identity)
    if user_id is None:
        identity = await provider.with_email(found, network)
        email = _vouched(identity)
        user_id = await _link_or_make(resources, provider, identity, email, network)
    await resources.tries.known.remember(account_key(user_id), network)
    async with resources.database.connect() as db:
        return await find_own_credentials(db, user_id)


async def _find(resources: Resources, identity: Identity) -> UserId | None:
    async with resources.database.connect() as db:
        known = await use_identity(db, identity.issuer, identity.subject)
    if known is None:
        return None
    if known.is_disabled:
        raise AccountDisabled
    return known.id


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
) -> UserId:
    is_counted = False
    for _ in range(TRIES):
        linked = await _link(resources, provider, identity, email)
        if linked is None and not is_counted:
            # Whoever may not sign up may not come in as somebody new here either.
            insist_on_open_signup(resources)
            await resources.signups.take(network)
            is_counted = True
        user_id = linked or await _make(resources, provider, identity, email) or await _find(resources, identity)
        if user_id is not None:
            return user_id
    raise CredentialsInvalid  # the account is made and deleted again and again


async def _link(resources: Resources, provider: Provider, identity: Identity, email: str) -> UserId | None:
    """Link the identity to the account with its address. None where there is none, or the identity is linked meanwhile."""
    async with resources.database.begin() as db:
        owner = await lock_owner_of_address(db, email)
        if owner is None:
            return None
        if owner.is_disabled:
            raise AccountDisabled
        if not owner.is_verified or owner.has_second_factor:
            raise IdentityNotLinked
        if not await add_identity(db, owner.id, identity.issuer, identity.subject):
            return None
    log.info("identity_linked", user_id=owner.id, provider=provider.settings.id, how="by_address")
    return owner.id


async def _make(resources: Resources, provider: Provider, identity: Identity, email: str) -> UserId | None:
    """Make an account. None where somebody has made it, or one with the identity, meanwhile."""
    try:
        async with resources.database.begin() as db:
            user_id = await _add(db, identity, email)
    except _SomebodyWasQuicker:
        return None
    log.info("account_made_by_provider", user_id=user_id, provider=provider.settings.id)
    return user_id


async def _add(db: Connection, identity: Identity, email: str) -> UserId:
    user_id = await add_user_without_password(db, email)
    if user_id is None or not await add_identity(db, user_id, identity.issuer, identity.subject):
        raise _SomebodyWasQuicker
    return user_id
