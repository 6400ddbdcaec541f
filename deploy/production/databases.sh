#!/bin/sh
# Run once by PostgreSQL's image: a database and an account for each who shares this server.
set -eu
for name in mlflow keycloak; do
	# Read by psql, so that the password is in no list of processes.
	psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set ON_ERROR_STOP=1 --quiet <<-SQL
		\\set password \`cat /run/secrets/${name}_database_password\`
		CREATE ROLE ${name} LOGIN PASSWORD :'password';
		CREATE DATABASE ${name} OWNER ${name};
		REVOKE CONNECT ON DATABASE ${name} FROM PUBLIC;
	SQL
done
psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --quiet --command "REVOKE CONNECT ON DATABASE warrant FROM PUBLIC"
