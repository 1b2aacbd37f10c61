"""A purpose of its own for the model calls that decide whether to search."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NAME = "ck_model_calls_purpose"


def upgrade() -> None:
    """Allow the purpose. The previous release never writes it, and shows it as it is."""
    op.drop_constraint(op.f(NAME), "model_calls", type_="check", if_exists=True)
    op.create_check_constraint(
        op.f(NAME),
        "model_calls",
        "purpose IN ('generation', 'search', 'summary', 'title')",
        postgresql_not_valid=True,
    )
    # To look at all rows takes long in a large table. In a transaction of its own that keeps nobody from the table.
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE model_calls VALIDATE CONSTRAINT {NAME}")


def downgrade() -> None:
    """Count those calls as their answers' own."""
    op.execute("UPDATE model_calls SET purpose = 'generation' WHERE purpose = 'search'")
    op.drop_constraint(op.f(NAME), "model_calls", type_="check")
    op.create_check_constraint(op.f(NAME), "model_calls", "purpose IN ('generation', 'summary', 'title')")
