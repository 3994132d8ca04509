#!/usr/bin/env bash
# For docker/test only: what the official PostgreSQL image's entry point does, as far as the test needs it, on the
# distribution's PostgreSQL. Makes the cluster on the first start, runs the init scripts on it, becomes the server.
set -euo pipefail
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
export PATH="$bin:$PATH"
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /var/run/postgresql
  chown postgres: "$PGDATA" /var/run/postgresql
  chmod 700 "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb -D "$PGDATA" -A trust --no-sync >/dev/null
  pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=''" start >/dev/null
  for script in /docker-entrypoint-initdb.d/*; do [ ! -x "$script" ] || "$script"; done
  pg_ctl -D "$PGDATA" -w -m fast stop >/dev/null
fi
exec "$@"
