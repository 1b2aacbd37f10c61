"""Checking the password of an e-mail address: the same work, and the same answers, whether or not it has an account."""

from sqlalchemy.exc import SQLAlchemyError

from services.api.accounts.queries import Credentials, find_credentials, replace_password_hash
from services.api.auth.passwords import rounds_of
from services.api.resources import Resources
from shared.errors import CredentialsInvalid
from shared.ids import UserId
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


def account_key(user_id: UserId) -> str:
    """What stands for an account where tries are counted.

    Not its address, of which PostgreSQL takes more spellings for the same than Python does.
    """
    return f"user {user_id}"


async def check_password(resources: Resources, email: str, password: str, network: str) -> UserId:
    """The account that has this address and this password. A password whose hash is outdated is hashed anew.

    Raises:
        CredentialsInvalid: the address or the password is wrong.
        TooManyTries: too many were wrong.
        TooBusy: too many passwords are being checked.

    """
    async with resources.database.connect() as db:
        found = await find_credentials(db, email)
    await resources.costs.look()
    if found is not None and rounds_of(found.password_hash) is None:
        found = None  # an account that the operator has locked
    account = account_key(found.id) if found else f"address {email.lower()}"
    made = await resources.tries.begin(account, network)
    password_hash = found.password_hash if found else resources.passwords.nobody(resources.costs.of(email.lower()))
    async with resources.passwords.hasher(network, account) as hasher:
        await made.check()
        verdict = await hasher.verify(password, password_hash)
        if not verdict.right:
            made.count_wrong()
    if not verdict.right or found is None:
        await made.tell_wrong()
        raise CredentialsInvalid
    await made.tell_right()
    if verdict.better_hash:
        await _keep(resources, found, verdict.better_hash)
    return found.id


async def _keep(resources: Resources, found: Credentials, better_hash: str) -> None:
    """Keep a better hash. When that fails, the next login tries again."""
    try:
        async with resources.database.connect() as db:
            await replace_password_hash(db, found, better_hash)
    except SQLAlchemyError as error:
        log.warning("password_not_hashed_anew", error=type(error).__name__)
