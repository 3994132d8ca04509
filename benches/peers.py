"""The tools that are compared, each behind the same few methods: prepare, backup, restore, push, get, info.

`missing` of a tool is why it cannot be measured here, and None if it can. `backup` returns a cost whose `stored_bytes` is
what the repository grew by.
"""

import os
import shutil
from pathlib import Path

from bench import ROOT, Failed, copy_of, fresh, give, run, size_of, text_of
from databases import PG_BIN, PG_BIN17

STANZA = "bench"
# What every tool with a configuration file gets: levels and processes are equal, and nobody waits for a checkpoint or WAL.
BOTH = {"compress-type": "zst", "compress-level": 3, "process-max": 2}


class PgBaseBackup:
    """PostgreSQL's own tool. It compresses on one core and has no archive."""

    name = maker = "pg_basebackup"
    missing = None

    def __init__(self, work):
        self.target = work / "pg_basebackup"

    def version(self):
        return text_of([PG_BIN / "pg_basebackup", "--version"]).split()[2]

    def prepare(self, cluster):
        shutil.rmtree(self.target, ignore_errors=True)

    def backup(self, cluster, kind="full"):
        cost = run([PG_BIN / "pg_basebackup", "-h", cluster.socket, "-U", "postgres", "-D", self.target, "-Ft",
                    "-Z", "client-zstd:3", "-X", "none", "-c", "fast", "--no-estimate-size"])
        cost.stored_bytes = size_of(self.target)
        return cost


class BareStream(PgBaseBackup):
    """What the server can deliver at all: its stream into a sink."""

    name = "bare stream"

    def backup(self, cluster, kind="full"):
        return run([PG_BIN / "pg_basebackup", "-h", cluster.socket, "-U", "postgres", "-D", "-", "-Ft",
                    "-X", "none", "-c", "fast", "--no-manifest"])


class PgBaseBackup17(PgBaseBackup):
    """pg_basebackup of 17: plain files beside each other, compression is left to others."""

    name = maker = "pg_basebackup 17"

    def __init__(self, work):
        self.full_dir, self.incr_dir = work / "base17", work / "incr17"
        self.missing = None if (PG_BIN17 / "pg_basebackup").exists() else f"{PG_BIN17}/pg_basebackup is missing"

    def version(self):
        return text_of([PG_BIN17 / "pg_basebackup", "--version"]).split()[2]

    def prepare(self, cluster):
        for directory in (self.full_dir, self.incr_dir):
            shutil.rmtree(directory, ignore_errors=True)

    def backup(self, cluster, kind="full"):
        target = self.full_dir if kind == "full" else self.incr_dir
        more = [] if kind == "full" else [f"--incremental={self.full_dir}/backup_manifest"]
        cost = run([PG_BIN17 / "pg_basebackup", "-h", cluster.socket, "-U", "postgres", "-D", target,
                    "-X", "none", "-c", "fast", *more])
        cost.stored_bytes = size_of(target)
        return cost


class Tool:
    """What pgBackRest and pgstrata have in common: the command line and the configuration."""

    missing = None
    program = None

    def __init__(self, work, name, settings):
        self.name, self.settings = name, settings
        self.base = work / name.replace(" ", "-")
        self.repo, self.conf, self.restored = (self.base / part for part in ("repo", "tool.conf", "restored"))
        self.next_wal = None
        self.backup_options = []

    def version(self):
        return text_of([self.program, "version"]).split()[-1]

    def prepare(self, cluster):
        """An empty repository with the stanza in it."""
        self.configure(cluster.data, cluster.socket)
        self.call("stanza-create")

    def configure(self, data, socket):
        """An empty repository."""
        self.next_wal = None
        for directory in (self.base, self.repo, self.base / "lock", self.base / "log", self.base / "spool"):
            fresh(directory)
        common = {"repo1-path": self.repo, "lock-path": self.base / "lock", "log-path": self.base / "log",
                  "spool-path": self.base / "spool", "log-level-console": "off", "log-level-stderr": "error",
                  "log-level-file": "off", "start-fast": "y", "archive-check": "n", "archive-mode-check": "n"}
        lines = [f"{key}={value}" for key, value in {**common, **self.settings}.items()]
        self.conf.write_text("\n".join(["[global]", *lines, f"[{STANZA}]", f"pg1-path={data}",
                                        f"pg1-socket-path={socket}", "pg1-user=postgres", ""]))
        give(self.conf)

    def call(self, *words, **more):
        return run([self.program, f"--config={self.conf}", f"--stanza={STANZA}", *words], **more)

    def told(self, *words):
        return text_of([self.program, f"--config={self.conf}", f"--stanza={STANZA}", *words])

    def backup(self, cluster, kind="full"):
        before, had = self.next_wal or cluster.wal_position(), size_of(self.repo / "backup")
        cost = self.call(f"--type={kind}", "--no-expire-auto", *self.backup_options, "backup")
        cost.stored_bytes = size_of(self.repo / "backup") - had
        self.archive(cluster, before)
        return cost

    def archive(self, cluster, before):
        """Not timed: the WAL from the first backup on has to be in the archive. The record takes the position past the
        boundary of the segment that the backup ended."""
        cluster.sql("select pg_create_restore_point('after')")
        self.next_wal = cluster.wal_position()
        for segment in sorted((cluster.data / "pg_wal").glob("0" * 7 + "*")):
            if len(segment.name) == 24 and before <= segment.name < self.next_wal:
                self.call("archive-push", segment)

    def has_backup(self):
        return (self.repo / "backup" / STANZA).exists() and bool(self.labels())

    def labels(self):
        return sorted(path.name for path in (self.repo / "backup" / STANZA).iterdir() if path.name[0] == "2")

    def restore(self, *more):
        return self.call(f"--pg1-path={self.restored}", *more, "restore")

    def delta(self):
        """Restores once more over what was restored before."""
        return self.restore("--delta")

    def forget(self, segments):
        for segment in segments:
            for stored in (self.repo / "archive").rglob(segment.name + "*"):
                stored.unlink()

    def push(self, segment):
        return self.call("archive-push", segment)

    def get(self, name, target):
        return self.call("archive-get", name, target)

    def info(self):
        return self.call("--output=json", "info")

    def verify(self):
        return self.call("verify")


class PgBackRest(Tool):
    """Reads the data directory, as files; finds what changed by times, and within files by block checksums."""

    name = maker = "pgBackRest"

    def __init__(self, work, defaults=False):
        self.program = os.environ.get("PGBACKREST") or shutil.which("pgbackrest")
        settings = {}
        if self.program is None:
            self.missing = "not found: set PGBACKREST or run scripts/install-peers"
        elif not defaults:
            numbers = tuple(int(part) for part in self.version().split(".")[:2])
            settings = {**BOTH, "repo1-bundle": "y", **({"repo1-block": "y"} if numbers >= (2, 46) else {})}
        super().__init__(work, self.name, settings)


class Pgstrata(Tool):
    """Ours, with one of its sources; without a name of one, whichever it takes by itself. `more`: further settings."""

    maker = "pgstrata"

    def __init__(self, work, source=None, defaults=False, name=None, more=None):
        built = os.environ.get("PGSTRATA") or Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/pgstrata"
        if not Path(built).exists():
            raise Failed(f"{built} is missing: cargo build --release")
        self.program = copy_of(built, work / "bin-pgstrata")
        name = name or (f"pgstrata {source}" if source else "pgstrata")
        super().__init__(work, name, {**({} if defaults else BOTH), **(more or {})})
        if source and self.told_of("backup-source"):
            self.backup_options = [f"--backup-source={source}"]
        elif source == "local":
            self.missing = "this build of pgstrata has no backup-source"

    def told_of(self, option):
        return bool(text_of([self.program, "help", "backup", option]))


class WalRus(Tool):
    """WAL-RUS, a WAL-G in Rust: tar parts of local files, or of the server's stream; no check of pages, no sync of what it
    restores, no delta restore."""

    maker = "WAL-RUS"

    def __init__(self, work, source="local"):
        super().__init__(work, f"WAL-RUS {source}", {})
        self.source = source
        self.program = os.environ.get("WALRUS") or shutil.which("walrus")
        if self.program is None:
            self.missing = "not found: cargo install wal-rus, and set WALRUS"

    def version(self):
        return text_of([self.program, "--version"]).split()[-1]

    def prepare(self, cluster):
        fresh(self.base)
        fresh(self.repo)
        # A download concurrency of one would also do without prefetch; get() asks for that.
        self.environment = {
            "WALG_FILE_PREFIX": str(self.repo), "WALG_COMPRESSION_METHOD": "zstd", "WALG_COMPRESSION_LEVEL": "3",
            "WALG_UPLOAD_CONCURRENCY": "2", "WALG_DOWNLOAD_CONCURRENCY": "2", "WALG_DELTA_MAX_STEPS": "100",
            "WALG_DELTA_ORIGIN": "LATEST_FULL", "PGHOST": str(cluster.socket), "PGPORT": "5432", "PGUSER": "postgres",
            "PGDATABASE": "postgres", "RUST_LOG": "error"}

    def call(self, *words, **more):
        return run([self.program, *words], env={**self.environment, **more.pop("env", {})}, **more)

    def backup(self, cluster, kind="full"):
        had = size_of(self.repo / "basebackups_005")
        words = [cluster.data] if self.source == "local" else []
        how = "--full" if kind == "full" else "--delta-from-wal-summaries"
        cost = self.call("backup-push", *words, how)
        cost.stored_bytes = size_of(self.repo / "basebackups_005") - had
        newest = max(self.repo.glob("basebackups_005/*.json"), key=lambda path: path.stat().st_mtime)
        if (kind != "full") != ("_D_" in newest.name):
            raise Failed(f"{self.name} made {newest.name} where {kind} was asked for")
        return cost

    def has_backup(self):
        return any(self.repo.glob("basebackups_005/*.json"))

    def restore(self):
        return self.call("backup-fetch", self.restored, "LATEST")

    def forget(self, segments):
        for segment in segments:
            for stored in self.repo.glob(f"wal_005/{segment.name}*"):
                stored.unlink()

    def push(self, segment):
        return self.call("wal-push", segment)

    def get(self, name, target):
        """Without the prefetch that goes on behind its back: one process a segment."""
        return self.call("wal-fetch", name, target, env={"WALG_DOWNLOAD_CONCURRENCY": "1"})

    def info(self):
        return self.call("backup-list", "--json")
