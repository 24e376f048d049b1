"""Alembic's environment: runs the migrations on the given connection, in the transaction that holds the lock."""

from alembic import context

from cryptomarket.database.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
