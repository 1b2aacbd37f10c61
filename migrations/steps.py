"""Steps of a migration that are transactions of their own."""

from alembic import op


def commit() -> None:
    """End the migration's transaction, and begin another one, which waits for locks as briefly.

    For between changes of two tables. A transaction that changes both locks one and waits for the other; one that serves a
    request may hold the other and wait for the first. Where a later step fails, those before are done already when the
    migration is tried again.
    """
    with op.get_context().autocommit_block():
        pass
