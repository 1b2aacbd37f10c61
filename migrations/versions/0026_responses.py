"""What requests for responses said, and metadata of conversations."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.steps import commit

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. Processes of the release before do not know them, and leave them NULL."""
    op.add_column("generations", sa.Column("response", JSONB(), nullable=True), if_not_exists=True)
    commit()
    op.add_column("chats", sa.Column("client_metadata", JSONB(), nullable=True), if_not_exists=True)


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("chats", "client_metadata")
    op.drop_column("generations", "response")
