"""The database: pools, tables, migrations, the lease, locks, and access without an event loop."""
