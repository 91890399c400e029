"""Statistics of a teacher's features, and answers in place of task modules that stay at their site."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "probe_requests",
        sa.Column("category_module", sa.String(length=64), nullable=False),
        sa.Column("task", sa.String(length=32), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["category_module"],
            ["modules.module_id"],
        ),
        sa.PrimaryKeyConstraint("category_module", "task"),
    )
    op.create_table(
        "teacher_answers",
        sa.Column("teacher_id", sa.String(length=64), nullable=False),
        sa.Column("task", sa.String(length=32), nullable=False),
        sa.Column("answers", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["answers"],
            ["modules.module_id"],
        ),
        sa.ForeignKeyConstraint(
            ["teacher_id"],
            ["teachers.teacher_id"],
        ),
        sa.PrimaryKeyConstraint("teacher_id", "task"),
    )
    op.create_table(
        "teacher_statistics",
        sa.Column("teacher_id", sa.String(length=64), nullable=False),
        sa.Column("statistics", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["statistics"],
            ["modules.module_id"],
        ),
        sa.ForeignKeyConstraint(
            ["teacher_id"],
            ["teachers.teacher_id"],
        ),
        sa.PrimaryKeyConstraint("teacher_id"),
    )


def downgrade() -> None:
    op.drop_table("teacher_statistics")
    op.drop_table("teacher_answers")
    op.drop_table("probe_requests")
