"""Alembic's folder. `tenants.store.migrating` runs it from code; nobody needs an alembic.ini."""
