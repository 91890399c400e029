"""The first schema: sites, modules, uploads, teachers, merges, versions, events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_table(
        "certificates",
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("serial"),
    )
    op.create_index(op.f("ix_certificates_name"), "certificates", ["name"], unique=False)
    op.create_table(
        "events",
        sa.Column(
            "event_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("category", sa.String(length=63), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "sites",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "versions",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("parent_digest", sa.String(length=64), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("number >= 1", name="ck_versions_number"),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("digest"),
    )
    op.create_table(
        "forgetting_checks",
        sa.Column(
            "check_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("version_number", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("before_sha256", sa.String(length=64), nullable=False),
        sa.Column("after_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_number"],
            ["versions.number"],
        ),
        sa.PrimaryKeyConstraint("check_id"),
    )
    op.create_index(
        op.f("ix_forgetting_checks_version_number"), "forgetting_checks", ["version_number"], unique=False
    )
    op.create_table(
        "modules",
        sa.Column("module_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("category", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("task", sa.String(length=32), nullable=True),
        sa.Column("payload_sha256", sa.String(length=64), nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["payload_sha256"],
            ["blobs.sha256"],
        ),
        sa.PrimaryKeyConstraint("module_id"),
        sa.UniqueConstraint("position"),
    )
    op.create_index(op.f("ix_modules_category"), "modules", ["category"], unique=False)
    op.create_index(op.f("ix_modules_site"), "modules", ["site"], unique=False)
    op.create_table(
        "site_categories",
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("category", sa.String(length=63), nullable=False),
        sa.ForeignKeyConstraint(
            ["site"],
            ["sites.name"],
        ),
        sa.PrimaryKeyConstraint("site", "category"),
    )
    op.create_table(
        "uploads",
        sa.Column("upload_id", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("payload_sha256", sa.String(length=64), nullable=False),
        sa.Column("payload_bytes", sa.BigInteger(), nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("admitted", sa.Boolean(), nullable=False),
        sa.Column("declared_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["site"],
            ["sites.name"],
        ),
        sa.PrimaryKeyConstraint("upload_id"),
    )
    op.create_index(op.f("ix_uploads_site"), "uploads", ["site"], unique=False)
    op.create_table(
        "teachers",
        sa.Column("teacher_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("category", sa.String(length=63), nullable=False),
        sa.Column("category_module", sa.String(length=64), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["category_module"],
            ["modules.module_id"],
        ),
        sa.PrimaryKeyConstraint("teacher_id"),
        sa.UniqueConstraint("position"),
    )
    op.create_index(op.f("ix_teachers_category"), "teachers", ["category"], unique=False)
    op.create_table(
        "merges",
        sa.Column("merge_key", sa.String(length=64), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("teacher_id", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("category", sa.String(length=63), nullable=False),
        sa.Column("task", sa.String(length=32), nullable=False),
        sa.Column("identity", sa.Boolean(), nullable=False),
        sa.Column("task_document", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("adapter", sa.String(length=64), nullable=True),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version_number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["adapter"],
            ["modules.module_id"],
        ),
        sa.ForeignKeyConstraint(
            ["teacher_id"],
            ["teachers.teacher_id"],
        ),
        sa.PrimaryKeyConstraint("merge_key"),
        sa.UniqueConstraint("position"),
    )
    op.create_index(op.f("ix_merges_category"), "merges", ["category"], unique=False)
    op.create_index(op.f("ix_merges_state"), "merges", ["state"], unique=False)
    op.create_index(op.f("ix_merges_teacher_id"), "merges", ["teacher_id"], unique=False)
    op.create_table(
        "teacher_tasks",
        sa.Column("teacher_id", sa.String(length=64), nullable=False),
        sa.Column("task", sa.String(length=32), nullable=False),
        sa.Column("task_module", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_module"],
            ["modules.module_id"],
        ),
        sa.ForeignKeyConstraint(
            ["teacher_id"],
            ["teachers.teacher_id"],
        ),
        sa.PrimaryKeyConstraint("teacher_id", "task"),
    )
    op.create_table(
        "merge_transitions",
        sa.Column(
            "transition_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("merge_key", sa.String(length=64), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("from_state", sa.String(length=16), nullable=False),
        sa.Column("to_state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["merge_key"],
            ["merges.merge_key"],
        ),
        sa.PrimaryKeyConstraint("transition_id"),
    )
    op.create_index(op.f("ix_merge_transitions_merge_key"), "merge_transitions", ["merge_key"], unique=False)
    op.create_table(
        "routes",
        sa.Column("merge_key", sa.String(length=64), nullable=False),
        sa.Column("version_number", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("category", sa.String(length=63), nullable=False),
        sa.Column("task", sa.String(length=32), nullable=False),
        sa.Column("category_module", sa.String(length=64), nullable=False),
        sa.Column("adapter", sa.String(length=64), nullable=True),
        sa.Column("task_module", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["adapter"],
            ["modules.module_id"],
        ),
        sa.ForeignKeyConstraint(
            ["category_module"],
            ["modules.module_id"],
        ),
        sa.ForeignKeyConstraint(
            ["merge_key"],
            ["merges.merge_key"],
        ),
        sa.ForeignKeyConstraint(
            ["task_module"],
            ["modules.module_id"],
        ),
        sa.ForeignKeyConstraint(
            ["version_number"],
            ["versions.number"],
        ),
        sa.PrimaryKeyConstraint("merge_key"),
        sa.UniqueConstraint("category", "task", name="uq_routes_category_task"),
        sa.UniqueConstraint("position"),
    )
    op.create_index(op.f("ix_routes_version_number"), "routes", ["version_number"], unique=False)
    op.create_table(
        "verdicts",
        sa.Column("merge_key", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("closed", sa.Float(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["merge_key"],
            ["merges.merge_key"],
        ),
        sa.PrimaryKeyConstraint("merge_key"),
    )
    op.create_table(
        "probe_digests",
        sa.Column("merge_key", sa.String(length=64), nullable=False),
        sa.Column("numerics", sa.String(length=255), nullable=False),
        sa.Column("logits_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["merge_key"],
            ["routes.merge_key"],
        ),
        sa.PrimaryKeyConstraint("merge_key", "numerics"),
    )


def downgrade() -> None:
    op.drop_table("probe_digests")
    op.drop_table("verdicts")
    op.drop_table("routes")
    op.drop_table("merge_transitions")
    op.drop_table("teacher_tasks")
    op.drop_table("merges")
    op.drop_table("teachers")
    op.drop_table("uploads")
    op.drop_table("site_categories")
    op.drop_table("modules")
    op.drop_table("forgetting_checks")
    op.drop_table("versions")
    op.drop_table("sites")
    op.drop_table("events")
    op.drop_table("certificates")
    op.drop_table("blobs")
