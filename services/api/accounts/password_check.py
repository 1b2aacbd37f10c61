"""Checking the password of an e-mail address: the same work, and the same answers, whether or not it has an account.

And that of an account whose owner is logged in: with the same waiting and the same counts of tries.
"""

from sqlalchemy.exc import SQLAlchemyError

from services.api.accounts.queries import Credentials, find_credentials, replace_password_hash
from services.api.auth.passwords import rounds_of
from services.api.resources import Resources
from shared.errors import CredentialsInvalid, PasswordMismatch
from shared.ids import UserId
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


def account_key(user_id: UserId) -> str:
    """What stands for an account where tries are counted.

    Not its address, of which PostgreSQL takes more spellings for the same than Python does.
    """
    return f"user {user_id}"


async def check_password(resources: Resources, email: str, password: str, network: str) -> Credentials:
    """The credentials that have this address and this password. A password whose hash is outdated is hashed anew.

    A right password ends no count of wrong ones yet: the second factor may be missing. `resources.tries.note_right` does.

    Raises:
        CredentialsInvalid: the address or the password is wrong, or the account is disabled.
        TooManyTries: too many were wrong.
        TooBusy: too many passwords are being checked.

    """
    # Who waits has asked nothing of the database and of Redis yet, so that a crowd does not hold up others there either.
    async with resources.passwords.hasher(network, email.lower()) as hasher:
        found = await _find(resources, email)
        account = account_key(found.id) if found else f"address {email.lower()}"
        await resources.tries.check(account, network)
        verdict = await hasher.verify(password, _hash_to_try(resources, email, found))
        if not verdict.right or found is None:
            await resources.tries.note_wrong(account, network)
            raise CredentialsInvalid
    if verdict.better_hash:
        await _keep(resources, found, verdict.better_hash)
    return found


async def check_own_password(resources: Resources, found: Credentials, password: str, network: str) -> None:
    """Check the password of an account whose owner is logged in. A right one is hashed anew as by a login.

    Raises:
        PasswordMismatch: the password is wrong, or the account has none, or the operator has locked the account.
        TooManyTries: too many were wrong.
        TooBusy: too many passwords are being checked.

    """
    account = account_key(found.id)
    async with resources.passwords.hasher(network, found.email.lower()) as hasher:
        await resources.tries.check(account, network)
        verdict = await hasher.verify(password, _hash_to_try(resources, found.email, found))
        if not verdict.right:
            await resources.tries.note_wrong(account, network)
            raise PasswordMismatch
    if verdict.better_hash:
        await _keep(resources, found, verdict.better_hash)


def _hash_to_try(resources: Resources, email: str, found: Credentials | None) -> str:
    """What a password is compared with: one that no password has, where nobody may come in by a password.

    So a right password takes as long there as a wrong one, which is not hashed anew.
    """
    rounds = rounds_of(found.password_hash) if found and found.password_hash else None
    if found is None or found.password_hash is None or rounds is None:
        return resources.passwords.dummy_hash(resources.costs.of(email.lower()))
    return found.password_hash if found.may_log_in else resources.passwords.dummy_hash(rounds)


async def _find(resources: Resources, email: str) -> Credentials | None:
    """The credentials of this address; None when it has no account, or one without a password, or a locked one."""
    async with resources.database.connect() as db:
        found = await find_credentials(db, email)
    await resources.costs.look()
    return found if found and rounds_of(found.password_hash) is not None else None


async def _keep(resources: Resources, found: Credentials, better_hash: str) -> None:
    """Keep a better hash. When that fails, the next login tries again."""
    try:
        async with resources.database.connect() as db:
            await replace_password_hash(db, found, better_hash)
    except SQLAlchemyError as error:
        log.warning("password_not_hashed_anew", error=type(error).__name__)
