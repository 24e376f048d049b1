#!/bin/sh
# The accounts of PostgreSQL: `cryptomarket` owns the tables and migrates them; `gateway` and `celery` read and write rows.
# The image runs this once, on a new database. On a database of an earlier version, or with new passwords, run it again:
#   docker compose exec postgres sh /docker-entrypoint-initdb.d/accounts.sh
for name in owner gateway celery; do
    test -s "/secrets/postgres/${name}_password" || exit 1
done
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username=cryptomarket --dbname=cryptomarket <<'SQL'
\set owner_password `cat /secrets/postgres/owner_password`
\set gateway_password `cat /secrets/postgres/gateway_password`
\set celery_password `cat /secrets/postgres/celery_password`

SELECT format('CREATE ROLE %I LOGIN', name) FROM (VALUES ('gateway'), ('celery')) AS wanted (name)
  WHERE name NOT IN (SELECT rolname FROM pg_roles) \gexec
ALTER ROLE cryptomarket PASSWORD :'owner_password';
ALTER ROLE gateway PASSWORD :'gateway_password';
ALTER ROLE celery PASSWORD :'celery_password';

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO gateway, celery;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO gateway, celery;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO gateway, celery;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO gateway, celery;
SQL
