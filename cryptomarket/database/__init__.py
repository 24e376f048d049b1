"""The database: engines, tables, migrations, the lease and the locks."""
