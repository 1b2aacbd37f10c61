"""Checking a code of the second factor: one of the app's, or a recovery code. Each is taken once.

Wrong codes count as wrong passwords, and those of the app by the hour too (login_tries.py).
"""

from typing import Final

from services.api.accounts.password_check import account_key
from services.api.accounts.second_factor_queries import (
    FactorRow,
    confirm_factor,
    keep_step,
    lock_factor,
    replace_recovery_codes,
    use_recovery_code,
)
from services.api.auth.recovery_codes import hash_code, new_codes
from services.api.auth.totp import find_step, read_code
from services.api.resources import Resources
from shared.data_sources.encryption import Keyring
from shared.database.engine import Connection
from shared.errors import (
    CodeMismatch,
    DataSourceKeyMissing,
    SecondFactorAbsent,
    SecondFactorOff,
    SecondFactorUnavailable,
)
from shared.ids import UserId

PURPOSE: Final = "totp_secret"


def keyring_of(resources: Resources) -> Keyring:
    """The keys that encrypt secrets.

    Raises:
        SecondFactorOff: the operator has given none.

    """
    if resources.keyring is None:
        raise SecondFactorOff
    return resources.keyring


async def check_code(resources: Resources, user_id: UserId, typed: str, network: str) -> bool:
    """Whether this is a code of the user's second factor, or a recovery code, which is used up by that.

    False where the user has no second factor.

    Raises:
        TooManyTries: too many codes were wrong. No number of them stops a recovery code for longer than wrong passwords do.
        TooBusy: too many codes are being checked.
        SecondFactorUnavailable: it is a code of the app, and there is no key for the secret.

    """
    account, code = account_key(user_id), read_code(typed)
    # One code at a time: of many that come at once, each is counted before the next one is looked at.
    async with resources.code_turns.take(network, account):
        await resources.tries.check(account, network)
        if code is None:
            is_right = await _use_recovery_code(resources, user_id, typed)
        else:
            await resources.code_tries.check(account, network)
            is_right = await _take(resources, user_id, code)
        if not is_right:
            await resources.tries.note_wrong(account, network)
            if code is not None:
                await resources.code_tries.note_wrong(account, network)
        elif code is not None:
            await resources.code_tries.forget_wrong(account, network)
        return is_right


async def confirm(resources: Resources, db: Connection, user_id: UserId, typed: str) -> list[str]:
    """Switch the second factor on, by its first code. Needs a transaction. Returns the recovery codes.

    Raises:
        SecondFactorAbsent: there is no secret that waits for its first code.
        CodeMismatch: the code is not the secret's.

    """
    factor = await lock_factor(db, user_id)
    if factor is None or factor.confirmed_at is not None:
        raise SecondFactorAbsent
    if not await _is_taken(resources, db, user_id, factor, read_code(typed)):
        raise CodeMismatch
    await confirm_factor(db, user_id)
    return await make_recovery_codes(db, user_id)


async def make_recovery_codes(db: Connection, user_id: UserId) -> list[str]:
    """Make recovery codes in place of those before. The second factor must be locked. They are told once: hashes are kept."""
    codes = new_codes()
    await replace_recovery_codes(db, user_id, [each for code in codes if (each := hash_code(code))])
    return codes


async def _take(resources: Resources, user_id: UserId, code: str) -> bool:
    async with resources.database.begin() as db:
        factor = await lock_factor(db, user_id)
        if factor is None or factor.confirmed_at is None:
            return False
        return await _is_taken(resources, db, user_id, factor, code)


async def _is_taken(resources: Resources, db: Connection, user_id: UserId, factor: FactorRow, code: str | None) -> bool:
    """Whether the code is right. If so, neither this code nor an earlier one is taken again."""
    secret = _secret_of(resources, user_id, factor)
    step = None if code is None else find_step(secret, code, factor.last_step)
    if step is None:
        return False
    await keep_step(db, user_id, step)
    return True


def _secret_of(resources: Resources, user_id: UserId, factor: FactorRow) -> str:
    if resources.keyring is None:
        raise SecondFactorUnavailable
    try:
        return resources.keyring.decrypt(factor.totp_secret, user_id, PURPOSE)
    except DataSourceKeyMissing as error:
        raise SecondFactorUnavailable from error


async def _use_recovery_code(resources: Resources, user_id: UserId, typed: str) -> bool:
    code_hash = hash_code(typed)
    if code_hash is None:
        return False
    async with resources.database.connect() as db:
        return await use_recovery_code(db, user_id, code_hash)
