"""The quota: how many tokens a user may still spend today. An answer that spends more stops here.

A reply checks its quota before the model is asked and after each chunk (reply.py).
"""

from dataclasses import dataclass

from sqlalchemy import BigInteger, literal, select

from shared import usage
from shared.database.engine import Connection
from shared.errors import QuotaExceeded
from shared.ids import UserId


@dataclass(slots=True)
class Quota:
    """What is left of a user's tokens for today while one answer is made. `tokens_left` is None for no bound."""

    tokens_left: int | None = None

    def check(self, spending: int) -> None:
        """Check that the user may spend so many tokens, which are not taken yet.

        Raises:
            QuotaExceeded: the tokens for today are used up. The answer ends with the `error` frame of that code.

        """
        if self.tokens_left is not None and spending > self.tokens_left:
            raise QuotaExceeded

    def take(self, tokens: int) -> None:
        """Take the tokens of a model call that has ended."""
        if self.tokens_left is not None:
            self.tokens_left -= tokens


async def load_quota(db: Connection, user_id: UserId, daily_tokens: int | None) -> Quota:
    """The user's quota now. `daily_tokens` is the setting USER_DAILY_TOKENS, which holds for who has no quota of their own.

    It is None for no bound.
    """
    left = usage.left_today(literal(user_id), literal(daily_tokens, BigInteger))
    return Quota((await db.execute(select(left))).scalar_one())
