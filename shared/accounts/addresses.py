"""Whether two e-mail addresses are of one mailbox."""

from typing import Final

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, func, literal

IS_SAME_MAILBOX: Final = 'lower(email) = lower(%(email)s) AND lower(email COLLATE "C") = lower(%(email)s COLLATE "C")'
"""`is_same_mailbox` in SQL, for the column `email` and the argument `email`."""


def is_same_mailbox(
    kept: SQLColumnExpression[str] | SQLColumnExpression[str | None], given: str | SQLColumnExpression[str]
) -> ColumnElement[bool]:
    """Whether two addresses differ in the case of ASCII letters alone.

    Accounts are found by `lower`, which has an index. But `lower` takes other addresses for the same too: it makes an `i` of
    `İ` (U+0130). That does no harm where a password proves who comes. Where the address alone proves it, this has to hold.
    """
    other = literal(given) if isinstance(given, str) else given
    return and_(
        func.lower(kept) == func.lower(other),
        func.lower(kept.collate("C")) == func.lower(other.collate("C")),
    )
