"""Uploads await admission in a queue of their own, and every verdict of admission leaves a row."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "admissions",
        sa.Column(
            "admission_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("module_id", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("error", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("payload_sha256", sa.String(length=64), nullable=False),
        sa.Column("payload_bytes", sa.BigInteger(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("fingerprint", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("admission_id"),
    )
    op.create_index("ix_admissions_module_id", "admissions", ["module_id"])
    op.create_index("ix_admissions_site", "admissions", ["site"])
    # An upload that was admitted and not registered when the last release stopped is sent, or at least
    # committed, once more: its site repeats the call that was never answered.
    with op.batch_alter_table("uploads") as uploads:
        uploads.add_column(sa.Column("place", sa.BigInteger(), nullable=True))
        uploads.add_column(sa.Column("received_at", sa.DateTime(timezone=True), nullable=True))
        uploads.create_unique_constraint("uq_uploads_place", ["place"])
        uploads.drop_column("admitted")


def downgrade() -> None:
    with op.batch_alter_table("uploads") as uploads:
        uploads.add_column(sa.Column("admitted", sa.Boolean(), nullable=False, server_default=sa.false()))
        uploads.drop_constraint("uq_uploads_place", type_="unique")
        uploads.drop_column("received_at")
        uploads.drop_column("place")
    with op.batch_alter_table("uploads") as uploads:
        uploads.alter_column("admitted", server_default=None)
    op.drop_table("admissions")
