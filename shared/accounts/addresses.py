"""Whether two e-mail addresses are of one mailbox."""

from sqlalchemy import ColumnElement, SQLColumnExpression, func, literal


def is_same_mailbox(
    kept: SQLColumnExpression[str] | SQLColumnExpression[str | None], given: str
) -> ColumnElement[bool]:
    """Whether who reads mail at the given address reads mail at the kept one: they differ in the case of ASCII letters alone.

    Accounts are found by `lower`, which takes other addresses for the same too: `İ` (U+0130) becomes an `i`. That is no harm
    where a password proves who comes. Where the address alone does, this has to hold.
    """
    return func.lower(kept.collate("C")) == func.lower(literal(given).collate("C"))
