"""Alembic migrations, packaged so that a center upgrades its own schema."""
