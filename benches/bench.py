"""What the benchmarks share: databases, the tools that back them up, and tables of what was measured."""


import json
import os
import platform
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PG_BIN = Path(os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin"))
ROOT = Path(__file__).resolve().parent.parent
STANZA = "bench"
SEGMENTS = 24
INFO_RUNS = 20

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


def owner():
    """The user that runs servers and tools: postgres for root, as PostgreSQL refuses root."""
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def give(path):
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "postgres:", str(path)], check=True)


def demote():
    user = owner()
    if os.geteuid() == 0:
        os.setgroups([user.pw_gid])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


class Run:
    """One finished process with the cost of it and its children."""

    def __init__(self, wall_s, usage, stored_bytes=None):
        self.wall_s = wall_s
        self.cpu_s = usage.ru_utime + usage.ru_stime
        self.rss_mib = usage.ru_maxrss / 1024
        self.stored_bytes = stored_bytes


def run(command, env=None, stdout=subprocess.DEVNULL, cwd="/tmp"):
    """Runs a command as the owner; returns its cost. A failure ends the benchmark."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/tmp", "LC_ALL": "C", **(env or {})}
    with tempfile.TemporaryFile() as errors:
        begin = time.perf_counter()
        child = subprocess.Popen([str(part) for part in command], env=environment, stdin=subprocess.DEVNULL,
                                 stdout=stdout, stderr=errors, cwd=cwd, preexec_fn=demote)
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            errors.seek(0)
            sys.exit(f"exit code {child.returncode}: {' '.join(map(str, command))}\n{errors.read().decode()}")
    return Run(wall_s, usage)


def size_of(directory):
    return sum(path.stat().st_size for path in Path(directory).rglob("*") if path.is_file())


def fresh(directory):
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
    give(directory)
    return directory


class Cluster:
    """The database that is backed up."""

    def __init__(self, work, name, scale, event_rows, pg_bin=PG_BIN, settings=""):
        self.data = work / name
        self.socket = work / f"{name}.s"
        self.scale, self.event_rows = scale, event_rows
        self.bin, self.settings = pg_bin, settings

    def ready(self):
        if (self.data / ".loaded").exists():
            self.start()
        else:
            self.create()

    def create(self):
        print(f"creating {self.data.name}: pgbench scale {self.scale}, {self.event_rows} events", flush=True)
        fresh(self.data)
        fresh(self.socket)
        run([self.bin / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-k", "--no-sync"])
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(f"listen_addresses = ''\nunix_socket_directories = '{self.socket}'\nshared_buffers = 256MB\n"
                       "autovacuum = off\narchive_mode = on\narchive_command = 'true'\nwal_keep_size = 8GB\n"
                       "max_wal_size = 4GB\ncheckpoint_timeout = 1h\njit = off\n" + self.settings)
        self.start()
        self.fill()
        self.sql("vacuum analyze")
        self.sql("checkpoint")
        self.sql("select pg_switch_wal()")
        (self.data / ".loaded").touch()
        give(self.data / ".loaded")

    def fill(self):
        if self.scale:
            run([PG_BIN / "pgbench", "-q", "-i", "-s", self.scale, *self.target()])
        if self.event_rows:
            self.sql(EVENTS.format(rows=self.event_rows))

    def target(self):
        return ["-h", self.socket, "-p", "5432", "-U", "postgres", "postgres"]

    def start(self):
        run([self.bin / "pg_ctl", "-D", self.data, "-l", f"{self.data}.log", "-w", "-t", "300", "start"])

    def stop(self):
        run([self.bin / "pg_ctl", "-D", self.data, "-w", "-t", "300", "-m", "fast", "stop"])

    def sql(self, text):
        with tempfile.TemporaryFile() as out:
            run([PG_BIN / "psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", *self.target(), "-c", text], stdout=out)
            out.seek(0)
            return out.read().decode().strip()

    def size_mb(self):
        return int(self.sql("select sum(pg_database_size(oid))::bigint from pg_database")) / 1e6

    def wal_position(self):
        return self.sql("select pg_walfile_name(pg_current_wal_insert_lsn())")

    def full_segments(self, directory):
        """Copies of segments that are full of rows, away from pg_wal."""
        fresh(directory)
        self.sql("create table if not exists filler (body text)")
        self.sql("select pg_switch_wal()")
        names = []
        for number in range(SEGMENTS):
            names.append(self.wal_position())
            self.sql(f"insert into filler select md5((g + {number})::text) from generate_series(1, 160000) g")
            self.sql("select pg_switch_wal()")
        self.sql("truncate filler")
        for name in names:
            shutil.copy(self.data / "pg_wal" / name, directory / name)
        give(directory)
        return [directory / name for name in names]


class PgBaseBackup:
    """PostgreSQL's own tool. It compresses on one core and has no archive."""

    name = "pg_basebackup client-zstd:3"

    def __init__(self, work):
        self.target = work / "pg_basebackup"

    def prepare(self, cluster):
        shutil.rmtree(self.target, ignore_errors=True)

    def full(self, cluster):
        cost = run([PG_BIN / "pg_basebackup", "-h", cluster.socket, "-U", "postgres", "-D", self.target, "-Ft",
                    "-Z", "client-zstd:3", "-X", "none", "-c", "fast", "--no-estimate-size"])
        cost.stored_bytes = size_of(self.target)
        return cost


class BareStream:
    """What the server can deliver at all: its stream into a sink."""

    name = "bare stream"

    def __init__(self, work):
        pass

    def prepare(self, cluster):
        pass

    def full(self, cluster):
        return run([PG_BIN / "pg_basebackup", "-h", cluster.socket, "-U", "postgres", "-D", "-", "-Ft",
                    "-X", "none", "-c", "fast", "--no-manifest"])


class Tool:
    """What pgBackRest and pgstrata have in common: the command line."""

    def __init__(self, work, name, program, more_options=""):
        self.name, self.program, self.more_options = name, program, more_options
        self.base = work / name
        self.repo, self.conf = self.base / "repo", self.base / "tool.conf"
        self.restored = self.base / "restored"

    def prepare(self, cluster):
        """An empty repository with the stanza in it."""
        self.next_wal = None
        for directory in (self.base, self.repo, self.base / "lock", self.base / "log", self.base / "spool"):
            fresh(directory)
        self.conf.write_text(
            f"[global]\nrepo1-path={self.repo}\nlock-path={self.base}/lock\nlog-path={self.base}/log\n"
            f"spool-path={self.base}/spool\nlog-level-console=off\nlog-level-stderr=error\nlog-level-file=off\nprocess-max=2\n"
            f"compress-type=zst\ncompress-level=3\nstart-fast=y\narchive-check=n\n{self.more_options}\n"
            f"[{STANZA}]\npg1-path={cluster.data}\npg1-socket-path={cluster.socket}\npg1-user=postgres\n")
        give(self.conf)
        self.call("stanza-create")

    def call(self, *words, **more):
        return run([self.program, f"--config={self.conf}", f"--stanza={STANZA}", *words], **more)

    def full(self, cluster):
        return self.backup(cluster, "full")

    def backup(self, cluster, kind):
        """Takes a backup of a type; `stored_bytes` is what the repository grew by."""
        before, had = self.next_wal or cluster.wal_position(), size_of(self.repo / "backup")
        cost = self.call(f"--type={kind}", "--no-expire-auto", "backup")
        cost.stored_bytes = size_of(self.repo / "backup") - had
        # Not timed: the WAL from the first backup on has to be in the archive. The record takes the position past the
        # boundary of the segment that the backup ended.
        cluster.sql("select pg_create_restore_point('after')")
        for segment in sorted((cluster.data / "pg_wal").glob("0" * 7 + "*")):
            if len(segment.name) == 24 and before <= segment.name < cluster.wal_position():
                self.call("archive-push", segment)
        self.next_wal = cluster.wal_position()
        return cost

    def restore(self, cluster, *more, keep=False):
        fresh(self.restored)
        cost = self.call(f"--pg1-path={self.restored}", *more, "restore")
        if not keep:
            shutil.rmtree(self.restored)
        return cost

    def delta(self):
        """Restores once more over what was restored before."""
        return self.call(f"--pg1-path={self.restored}", "--delta", "restore")

    def labels(self):
        return sorted(path.name for path in (self.repo / "backup" / STANZA).iterdir() if path.name[0] == "2")

    def push(self, segments):
        for segment in segments:
            for stored in (self.repo / "archive").rglob(segment.name + "*"):
                stored.unlink()
        return [self.call("archive-push", segment) for segment in segments]

    def get(self, segments):
        target = self.base / "RECOVERYXLOG"
        runs = []
        for segment in segments:
            target.unlink(missing_ok=True)
            runs.append(self.call("archive-get", segment.name, target))
            if target.read_bytes() != segment.read_bytes():
                sys.exit(f"{self.name} delivered other bytes for {segment.name}")
        return runs

    def info(self):
        return self.call("--output=json", "info")


def pgbackrest(work):
    program = os.environ.get("PGBACKREST") or shutil.which("pgbackrest") \
        or sys.exit("pgbackrest is missing: run scripts/install-peers")
    text = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
    version = tuple(int(part) for part in text.split()[1].split(".")[:2])
    block = "\nrepo1-block=y" if version >= (2, 46) else ""
    return Tool(work, "pgbackrest", program, f"repo1-bundle=y{block}")


def pgstrata(work):
    built = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/pgstrata"
    if not built.exists():
        sys.exit(f"{built} is missing: cargo build --release")
    program = work / "bin-pgstrata"
    shutil.copy(built, program)
    program.chmod(0o755)
    return Tool(work, "pgstrata", program)


class Results:
    """Every measurement, by what was measured and which tool."""

    def __init__(self):
        self.runs = {}

    def add(self, what, tool, cost):
        self.runs.setdefault(what, {}).setdefault(tool, []).append(cost)
        stored = f", {cost.stored_bytes / 1e6:.2f} MB stored" if cost.stored_bytes else ""
        print(f"  {what:24} {tool:28} {cost.wall_s * 1000:9.1f} ms{stored}", flush=True)

    def add_many(self, what, tool, costs):
        """Many short runs count as one measurement: their mean."""
        mean = costs[0]
        mean.wall_s = statistics.mean(cost.wall_s for cost in costs)
        mean.cpu_s = statistics.mean(cost.cpu_s for cost in costs)
        mean.rss_mib = max(cost.rss_mib for cost in costs)
        self.add(what, tool, mean)

    def summary(self):
        return {what: {tool: self.medians(costs) for tool, costs in tools.items()} for what, tools in self.runs.items()}

    @staticmethod
    def medians(costs):
        figures = {name: statistics.median(getattr(cost, name) for cost in costs)
                   for name in ("wall_s", "cpu_s", "rss_mib")}
        figures["wall_s_all"] = [round(cost.wall_s, 4) for cost in costs]
        figures["rss_mib"] = max(cost.rss_mib for cost in costs)
        if costs[0].stored_bytes:
            figures["stored_mb"] = statistics.median(cost.stored_bytes for cost in costs) / 1e6
        return figures

    def table(self):
        width = max(len(what) for what in self.runs)
        lines = [f"{'work':{width}} {'tool':28} {'wall ms':>9} {'cpu ms':>9} {'peak MiB':>9} {'stored MB':>9} {'pgstrata is':>14}"]
        for what, tools in self.summary().items():
            ours = tools.get("pgstrata", {}).get("wall_s")
            for tool, figures in tools.items():
                stored = f"{figures['stored_mb']:.2f}" if "stored_mb" in figures else ""
                ratio = f"{figures['wall_s'] / ours:.2f} x as fast" if ours and tool != "pgstrata" else ""
                lines.append(f"{what:{width}} {tool:28} {figures['wall_s'] * 1000:9.1f} {figures['cpu_s'] * 1000:9.1f} "
                             f"{figures['rss_mib']:9.1f} {stored:>9} {ratio:>14}")
        return "\n".join(lines)


def environment(cluster):
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(), "database_mb": round(cluster.size_mb()),
            "postgresql": cluster.sql("show server_version")}
