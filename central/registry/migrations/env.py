"""Alembic's entry point; `central.registry.schema` hands over the connection."""

from alembic import context

from central.registry.tables import Row

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
