"""The port to mail servers."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from shared.accounts.mails import MailKind


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to the owner of an account, or to somebody who is invited.

    `id` is the same at each try, and another one for each mail. `user_id` is None for who has no account yet. `link` is None
    in a mail without one. `lasts` is how long the link is good, in seconds. `at` is when happened what the mail tells.
    """

    id: int
    kind: MailKind
    user_id: int | None
    address: str = field(repr=False)
    link: str | None = field(repr=False)
    lasts: int
    at: datetime


class Mailer(Protocol):
    """Sends mails."""

    async def send(self, mail: Mail) -> None:
        """Send a mail. Returns when the server has taken it. Ends within a bounded time.

        Raises:
            MailRefused: the server will never take it.
            MailDeferred: it was not taken now. A server that did not answer may have taken it all the same.

        """
        ...
