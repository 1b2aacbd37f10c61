"""Which new passwords are refused, whatever their length. Source: OWASP ASVS 5, V6.2; NIST SP 800-63B-4, section 3.1.1.2.

There are no rules of composition. Who has a password from before these rules keeps it.
"""

import asyncio
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Final

from services.api.auth.passwords import normalized
from shared.errors import PasswordIsTheEmail, PasswordIsTheProduct, PasswordTooCommon

MIN_PASSWORD: Final = 8
PRODUCT: Final = "cortexai"
SHORTEST_WORD: Final = 3
"""Characters. A part of an address that is shorter is no word that anybody tries with more around it."""


async def check_new_password(password: str, email: str, *, field: str = "password") -> None:
    """Refuse a password that is guessed at once by who knows the address or a list of common ones.

    `password` has a length that can be hashed. `field` is the request's field that it came in.

    A word of the address, or the product's name, is refused with anything but letters around it too: guessing programs put
    digits and marks there first. A common password with more around it is another password.

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
    # The list is read once, on a thread: for some 12 ms.
    if typed in await asyncio.to_thread(common_passwords):
        raise PasswordTooCommon(field=field)


@cache
def common_passwords() -> frozenset[str]:
    """The passwords of at least MIN_PASSWORD characters that are used most, in lower case: 11,611 of 30,000 from breaches.

    They are a list of the package zxcvbn. Only its file is read: the package itself would rank all its lists, which takes
    0.2 s and 12 MB.
    """
    found = find_spec("zxcvbn")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("zxcvbn")
    file = Path(found.submodule_search_locations[0]) / "frequency_lists.py"
    spec = spec_from_file_location("zxcvbn_frequency_lists", file)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("zxcvbn.frequency_lists")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return frozenset(word for word in module.FREQUENCY_LISTS["passwords"] if len(word) >= MIN_PASSWORD)


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
