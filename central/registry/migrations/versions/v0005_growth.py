"""Routes leave versions and come back, verdicts are signed, contested categories are decided."""

import sqlalchemy as sa
from alembic import op
from alembic.util.exc import CommandError

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_DIGESTS = sa.table(
    "probe_digests",
    *(sa.column(name, sa.String) for name in ("merge_key", "numerics", "logits_sha256")),
)


def upgrade() -> None:
    op.create_table(
        "category_holders",
        sa.Column("category", sa.String(length=63), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("decisions", sa.Integer(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("category"),
    )
    for table in ("merges", "routes"):
        op.add_column(table, sa.Column("supervised_by", sa.String(length=63), nullable=True))
    # Two routes may answer one category and task, in different versions.
    kept = _take_digests()
    with op.batch_alter_table("routes") as routes:
        routes.drop_constraint("uq_routes_category_task", type_="unique")
    _put_digests(kept)
    op.create_index("ix_routes_category", "routes", ["category"])
    op.create_table(
        "route_changes",
        sa.Column("version_number", sa.Integer(), nullable=False),
        sa.Column("merge_key", sa.String(length=64), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["merge_key"], ["routes.merge_key"]),
        sa.ForeignKeyConstraint(["version_number"], ["versions.number"]),
        sa.PrimaryKeyConstraint("version_number", "merge_key"),
    )
    op.add_column("verdicts", sa.Column("signature", sa.LargeBinary(), nullable=True))
    op.add_column("verdicts", sa.Column("certificate", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    # The release before knows versions that only grow: it would rebuild others than were published.
    for table, condition in (("route_changes", "1 = 1"), ("routes", "supervised_by IS NOT NULL")):
        if op.get_bind().scalar(sa.text(f"SELECT COUNT(*) FROM {table} WHERE {condition}")):  # noqa: S608
            raise CommandError(
                "routes were retired, replaced, rolled back or supervised meanwhile, which that release does "
                "not know; restore a backup that it took"
            )
    op.drop_column("verdicts", "certificate")
    op.drop_column("verdicts", "signature")
    op.drop_table("route_changes")
    op.drop_index("ix_routes_category", "routes")
    kept = _take_digests()
    with op.batch_alter_table("routes") as routes:
        routes.drop_column("supervised_by")
        routes.create_unique_constraint("uq_routes_category_task", ["category", "task"])
    _put_digests(kept)
    op.drop_column("merges", "supervised_by")
    op.drop_table("category_holders")


def _take_digests() -> list[dict[str, str]] | None:
    """SQLite changes a table by making it anew, which is refused while rows refer to the old one."""
    if op.get_context().dialect.name != "sqlite":
        return None
    rows = [dict(row) for row in op.get_bind().execute(sa.select(_DIGESTS)).mappings()]
    op.drop_table("probe_digests")
    return rows


def _put_digests(rows: list[dict[str, str]] | None) -> None:
    if rows is None:
        return
    op.create_table(
        "probe_digests",
        sa.Column("merge_key", sa.String(length=64), nullable=False),
        sa.Column("numerics", sa.String(length=255), nullable=False),
        sa.Column("logits_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["merge_key"], ["routes.merge_key"]),
        sa.PrimaryKeyConstraint("merge_key", "numerics"),
    )
    op.bulk_insert(_DIGESTS, rows)
