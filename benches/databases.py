"""The databases that are backed up: servers of one's own, without network, that nothing but the benchmark uses."""

import os
import shutil
import tempfile
from pathlib import Path

from bench import fresh, give, run

PG_BIN = Path(os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin"))
PG_BIN17 = Path(os.environ.get("PG_BIN17", "/opt/pgstrata-test/pg17-fixed/bin"))
TABLES_IN_SCRIPT = 500

# Nobody waits for the archiver: the tools would, each in steps of another length, and the archive is measured by itself.
SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{socket}'
shared_buffers = 256MB
autovacuum = off
jit = off
archive_mode = off
wal_level = replica
wal_keep_size = 8GB
max_wal_size = 4GB
checkpoint_timeout = 1h
"""

EVENTS = """
create table events (id bigint, ts timestamptz, device int, temperature float8, humidity float8, tag text, payload jsonb);
insert into events
select g, timestamptz '2026-01-01' + g * interval '250 ms', g % 5000, 20 + 5 * sin(g / 1000.0) + random(),
       50 + 10 * cos(g / 5000.0) + random(), md5(g::text),
       jsonb_build_object('status', (array['ok', 'warn', 'fail'])[1 + g % 3], 'firmware', '2.' || g % 40, 'rssi', -(g % 90))
from generate_series(1, {rows}) g;
create index on events (ts);
create index on events (device, ts);
"""

# One row on about a hundredth of the pages of pgbench_accounts, another one each time: where an updated row went there are
# few pages.
CHANGE = "update pgbench_accounts set abalance = abalance + 1 where aid % 6100 = {}"

TABLE = "create table t{0} (id int primary key, body text); insert into t{0} values (1, 'x');"


class Cluster:
    """A database of pgbench at a scale, with so many rows of a time series, and so many small tables."""

    def __init__(self, work, name, scale=0, event_rows=0, tables=0, pg_bin=PG_BIN, settings=""):
        self.data = work / name
        self.socket = work / f"{name}.s"
        self.scale, self.event_rows, self.tables = scale, event_rows, tables
        self.bin, self.settings = pg_bin, settings

    def __enter__(self):
        """Starts it, made before if it is not there as it should be."""
        if self.beside("loaded").exists() and self.beside("loaded").read_text() == self.shape():
            fresh(self.socket)
            self.start()
        else:
            self.create()
        return self

    def __exit__(self, *_):
        self.stop()

    def create(self):
        print(f"creating {self.data.name}: pgbench scale {self.scale}, {self.event_rows} events, {self.tables} tables", flush=True)
        self.remove()
        fresh(self.data)
        fresh(self.socket)
        run([self.bin / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-k", "--no-sync"])
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(SETTINGS.format(socket=self.socket) + self.settings)
        self.start()
        try:
            self.fill()
            self.sql("vacuum analyze")
            self.sql("checkpoint")
            self.sql("select pg_switch_wal()")
        except BaseException:
            self.stop()
            raise
        self.beside("loaded").write_text(self.shape())

    def shape(self):
        return f"{self.bin} {self.scale} {self.event_rows} {self.tables} {SETTINGS} {self.settings}"

    def fill(self):
        if self.scale:
            run([PG_BIN / "pgbench", "-q", "-i", "-s", self.scale, *self.target()])
        if self.event_rows:
            self.sql(EVENTS.format(rows=self.event_rows))
        for first in range(0, self.tables, TABLES_IN_SCRIPT):
            numbers = range(first, min(first + TABLES_IN_SCRIPT, self.tables))
            self.sql(" ".join(TABLE.format(number) for number in numbers))

    def change(self):
        """Changes a hundredth of the pages of pgbench_accounts, never the same rows."""
        notes = self.beside("changes")
        number = int(notes.read_text()) if notes.exists() else 0
        notes.write_text(str(number + 1))
        self.sql(CHANGE.format(number))
        self.sql("checkpoint")

    def beside(self, ending):
        """What is known of it, away from its files: it would be backed up."""
        return Path(f"{self.data}.{ending}")

    def target(self):
        return ["-h", self.socket, "-p", "5432", "-U", "postgres", "postgres"]

    def start(self):
        run([self.bin / "pg_ctl", "-D", self.data, "-l", f"{self.data}.log", "-w", "-t", "300", "start"])

    def stop(self):
        run([self.bin / "pg_ctl", "-D", self.data, "-w", "-t", "300", "-m", "fast", "stop"])

    def warm(self):
        """Reads the files, so that no tool pays for what one before it has put out of the page cache."""
        for path in self.data.rglob("*"):
            if path.is_file():
                with open(path, "rb", buffering=0) as file:
                    while file.read(1 << 20):
                        pass

    def remove(self):
        for path in (self.data, self.socket):
            shutil.rmtree(path, ignore_errors=True)
        for ending in ("loaded", "log", "changes"):
            self.beside(ending).unlink(missing_ok=True)

    def sql(self, text):
        with tempfile.TemporaryFile() as out:
            run([PG_BIN / "psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", *self.target(), "-c", text], stdout=out)
            out.seek(0)
            return out.read().decode().strip()

    def facts(self):
        size = int(self.sql("select sum(pg_database_size(oid))::bigint from pg_database"))
        return {"postgresql": self.sql("show server_version"), "database_mb": round(size / 1e6), "files": self.files()}

    def files(self):
        """How many files of relations there are."""
        return sum(path.is_file() for path in (self.data / "base").rglob("*"))

    def wal_position(self):
        return self.sql("select pg_walfile_name(pg_current_wal_insert_lsn())")

    def full_segments(self, directory, count):
        """Copies of segments that are full of rows, away from pg_wal."""
        fresh(directory)
        self.sql("create table if not exists filler (body text)")
        self.sql("select pg_switch_wal()")
        names = []
        for number in range(count):
            names.append(self.wal_position())
            self.sql(f"insert into filler select md5((g + {number})::text) from generate_series(1, 160000) g")
            self.sql("select pg_switch_wal()")
        self.sql("truncate filler")
        for name in names:
            shutil.copy(self.data / "pg_wal" / name, directory / name)
        give(directory)
        return [directory / name for name in names]
