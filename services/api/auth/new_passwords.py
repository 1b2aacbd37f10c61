"""Which new passwords are refused, whatever their length. Source: OWASP ASVS 5, V6.2; NIST SP 800-63B-4, section 3.1.1.2.

There are no rules of composition. Who has a password from before these rules keeps it.
"""

import asyncio
from typing import Final

from services.api.auth.common_passwords import SHORTEST_WORD, is_common
from services.api.auth.passwords import normalized
from shared.errors import PasswordIsTheEmail, PasswordIsTheProduct, PasswordTooCommon

PRODUCT: Final = "cortexai"


async def check_new_password(password: str, email: str, *, field: str = "password") -> None:
    """Refuse a password that is guessed at once by who knows the address or lists of common ones.

    `password` has a length that can be hashed. `field` is the request's field that it came in.

    A word of the address, or the product's name, is refused with anything but letters around it too: guessing programs put
    digits and marks there first. A common password may have a short ending of them.

    Raises:
        PasswordIsTheEmail, PasswordIsTheProduct, PasswordTooCommon: it is such a password.

    """
    typed = _comparable(password)
    word = _word(typed)
    parts = _parts(_comparable(email))
    if typed in parts or (len(word) >= SHORTEST_WORD and word in map(_word, parts)):
        raise PasswordIsTheEmail(field=field)
    if word == PRODUCT:
        raise PasswordIsTheProduct(field=field)
    # The lists are read once, on a thread: for some 0.1 s.
    if await asyncio.to_thread(is_common, typed):
        raise PasswordTooCommon(field=field)


def _comparable(text: str) -> str:
    """A text in the form in which texts are compared here: without regard to case, or to how a keyboard writes it."""
    return normalized(normalized(text).casefold())


def _parts(address: str) -> set[str]:
    """An address, its local part, its domain, and the names in its domain but for the last one (`com`)."""
    local, _, domain = address.rpartition("@")
    return {address, local, domain, *domain.split(".")[:-1]}


def _word(text: str) -> str:
    """A text without what stands around its letters."""
    letters = [at for at, character in enumerate(text) if character.isalpha()]
    return text[letters[0] : letters[-1] + 1] if letters else ""
