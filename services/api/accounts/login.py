"""Who logs in: a password, and a code where the account has a second factor."""

from services.api.accounts.password_check import account_key, check_password
from services.api.accounts.queries import Credentials
from services.api.accounts.schemas import Login
from services.api.accounts.second_factor import check_code
from services.api.resources import Resources
from shared.errors import CodeInvalid, SecondFactorRequired


async def check_login(resources: Resources, body: Login, network: str) -> Credentials:
    """What an account has of these credentials.

    Only who has the password learns that there is a second factor.

    Raises:
        CredentialsInvalid: the address or the password is wrong.
        SecondFactorRequired: the password is right, and there is no code. That counts as no wrong try.
        CodeInvalid: the password is right, and the code is wrong or was used before.
        TooManyTries: too many passwords or codes were wrong.
        TooBusy: too many passwords are being checked.
        SecondFactorUnavailable: the code can't be checked.

    """
    found = await check_password(resources, body.email, body.password, network)
    if found.has_second_factor:
        if body.code is None:
            raise SecondFactorRequired
        if not await check_code(resources, found.id, body.code, network):
            raise CodeInvalid
    await resources.tries.note_right(account_key(found.id), network)
    return found
