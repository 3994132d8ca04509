"""The parts of the comparison: which work is measured, with which tools, in which order. Within a part the tools take turns,
round by round, so that whatever else the machine does hits all of them."""

import os
import shutil
import sys
from contextlib import contextmanager

from bench import Failed, Figure, Results, fresh, give, mean, size_of, watching
from databases import PG_BIN17, Cluster
from peers import STANZA, BareStream, PgBackRest, PgBaseBackup, PgBaseBackup17, Pgstrata, WalRus
from stores import BUCKET, BareRequests, LeanS3, OnS3, Relay, S3Server
from synthetic import make
from tables import WATCHED

SEGMENTS = 24
INFO_RUNS = 20
TABLES = 5000


class Bench:
    """One run: where, how large, how often, and what came out."""

    def __init__(self, options):
        self.options, self.work = options, options.work
        self.results, self.databases, self.versions = Results(), {}, {}

    @contextmanager
    def cluster(self, name, **more):
        with Cluster(self.work, name, **more) as cluster:
            self.databases[name] = cluster.facts()
            yield cluster

    def large(self):
        return self.cluster("large", scale=self.options.scale, event_rows=self.options.events)

    def rounds(self, part):
        for number in range(self.options.rounds):
            print(f"{part}, round {number + 1}", flush=True)
            yield number

    def ready(self, tool, cluster, full=False):
        """Whether a tool is there, with an empty repository, or with a full in it; the reason is kept if it is not."""
        if tool.missing is None:
            try:
                self.note_version(tool)
                tool.prepare(cluster)
                cluster.warm()
                if full:
                    tool.backup(cluster)
            except Failed as failed:
                if isinstance(tool, Pgstrata):
                    raise
                print(failed, file=sys.stderr, flush=True)
                tool.missing = f"failed: {failed.reason()}"
        return tool.missing is None

    def note_version(self, tool):
        if tool.maker not in self.versions:
            self.versions[tool.maker] = tool.version()
            print(f"  {tool.maker}: {self.versions[tool.maker]}", flush=True)

    def time(self, work, tool, action):
        """Measures an action of a tool. What others have written is on the disk before."""
        if tool.missing:
            self.results.miss(work, tool.name, tool.missing)
            return
        os.sync()
        try:
            self.results.add(work, tool.name, action())
        except Failed as failed:
            if isinstance(tool, Pgstrata):
                raise
            print(failed, file=sys.stderr, flush=True)
            tool.missing = f"failed: {failed.reason()}"
            self.results.miss(work, tool.name, tool.missing)


def measure_full(bench):
    """Everything, into an empty repository, by what reads the data directory and what is sent it by the server."""
    work = bench.work
    tools = [Pgstrata(work, "local"), Pgstrata(work, "stream"), PgBackRest(work), WalRus(work), WalRus(work, "stream"),
             PgBaseBackup(work), BareStream(work)]
    with bench.large() as cluster:
        for _ in bench.rounds("full"):
            for tool in tools:
                bench.ready(tool, cluster)
                bench.time("full", tool, lambda: tool.backup(cluster))


def measure_memory(bench):
    """The same full, watched: the memory of all processes of a tool together."""
    tools = [Pgstrata(bench.work, "local"), Pgstrata(bench.work, "stream"), PgBackRest(bench.work), WalRus(bench.work)]
    with bench.large() as cluster:
        for _ in bench.rounds("memory"):
            for tool in tools:
                bench.ready(tool, cluster)
                with watching:
                    bench.time(WATCHED, tool, lambda: tool.backup(cluster))


def measure_defaults(bench):
    """The same with nothing said about processes, compression and bundles."""
    tools = [Pgstrata(bench.work, defaults=True), PgBackRest(bench.work, defaults=True)]
    with bench.large() as cluster:
        for _ in bench.rounds("defaults"):
            for tool in tools:
                bench.ready(tool, cluster)
                bench.time("full, defaults", tool, lambda: tool.backup(cluster))


def measure_diff(bench):
    """On a fresh full: nothing changed, then a hundredth of the pages."""
    tools = [Pgstrata(bench.work, "local"), Pgstrata(bench.work, "stream"), PgBackRest(bench.work)]
    with bench.large() as cluster:
        for _ in bench.rounds("diff"):
            for tool in tools:
                bench.ready(tool, cluster, full=True)
            for tool in tools:
                bench.time("diff, nothing changed", tool, lambda: tool.backup(cluster, "diff"))
            cluster.change()
            for tool in tools:
                bench.time("diff, 1 % of pages", tool, lambda: tool.backup(cluster, "diff"))


def measure_diff17(bench):
    """The same on PostgreSQL 17, whose WAL summaries tell what has changed to those who ask."""
    work = bench.work
    tools = [Pgstrata(work, "local"), Pgstrata(work, "stream"), PgBackRest(work), WalRus(work), PgBaseBackup17(work)]
    with bench.cluster("large17", scale=bench.options.scale, event_rows=bench.options.events, pg_bin=PG_BIN17,
                       settings="summarize_wal = on\n") as cluster:
        for _ in bench.rounds("diff17"):
            for tool in tools:
                bench.ready(tool, cluster, full=True)
            cluster.change()
            for tool in tools:
                bench.time("17: diff, 1 % of pages", tool, lambda: tool.backup(cluster, "diff"))
        for tool in tools[:2]:
            if tool.missing is None and "WAL summaries told" not in tool.told("--output=json", "info"):
                raise Failed(f"{tool.name}: the WAL summaries were not used")


def measure_restore(bench):
    """A full into an empty directory, once more over it with --delta, and what looks at the repository."""
    tools = [Pgstrata(bench.work), PgBackRest(bench.work), WalRus(bench.work)]
    with bench.large() as cluster:
        for tool in tools:
            bench.ready(tool, cluster, full=True)
        size = size_of(cluster.data / "base")
        for _ in bench.rounds("restore"):
            for tool in tools:
                measure_one_restore(bench, tool, size)
            for tool in tools:
                bench.time("info", tool, lambda: mean(tool.info() for _ in range(INFO_RUNS)))
            for tool in tools[:2]:
                bench.time("verify", tool, tool.verify)


def measure_one_restore(bench, tool, size):
    fresh(tool.restored)
    bench.time("restore", tool, tool.restore)
    if tool.missing is None:
        restored = size_of(tool.restored / "base")
        if abs(restored - size) > size // 100:
            raise Failed(f"{tool.name} restored {restored} bytes of {size}")
    if isinstance(tool, WalRus):
        bench.results.miss("delta restore, nothing changed", tool.name, tool.missing or "it has none")
    else:
        warm(tool.restored)
        bench.time("delta restore, nothing changed", tool, tool.delta)
    shutil.rmtree(tool.restored)


def warm(directory):
    """Reads all files. pgstrata has what it restored leave the page cache, others do not; a delta restore begins alike."""
    for path in directory.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                while file.read(1 << 20):
                    pass


def measure_archive(bench):
    """Full segments, a process each: the mean."""
    tools = [Pgstrata(bench.work), PgBackRest(bench.work), WalRus(bench.work)]
    with bench.large() as cluster:
        segments = cluster.full_segments(bench.work / "segments", SEGMENTS)
        for tool in tools:
            bench.ready(tool, cluster)
        for _ in bench.rounds("archive"):
            for tool in tools:
                if tool.missing is None:
                    tool.forget(segments)
                bench.time("archive-push", tool, lambda: mean(tool.push(segment) for segment in segments))
            for tool in tools:
                bench.time("archive-get", tool, lambda: mean(get(tool, segment) for segment in segments))


def get(tool, segment):
    target = tool.base / "RECOVERYXLOG"
    target.unlink(missing_ok=True)
    cost = tool.get(segment.name, target)
    if target.read_bytes() != segment.read_bytes():
        raise Failed(f"{tool.name} delivered other bytes for {segment.name}")
    return cost


def measure_tables(bench):
    """Many small files: a table is one, with an index, a toast table and its index."""
    tools = [Pgstrata(bench.work, "local"), Pgstrata(bench.work, "stream"), PgBackRest(bench.work)]
    with bench.cluster("tables", tables=min(TABLES, bench.options.tables)) as cluster:
        for _ in bench.rounds("tables"):
            for tool in tools:
                bench.ready(tool, cluster)
                bench.time("tables: full", tool, lambda: tool.backup(cluster))
            for tool in tools:
                bench.time("tables: diff, nothing changed", tool, lambda: tool.backup(cluster, "diff"))


FAR_S, INFO_S, INFO_BACKUPS = 0.05, 0.02, 500


def measure_stores(bench):
    """The same full and restore with the repository in a directory, encrypted, on an S3 server, and on one that is far."""
    work = bench.work
    cipher = {"repo1-cipher-type": "aes-256-gcm", "repo1-cipher-pass": "a pass phrase for the benchmark"}
    with bench.large() as cluster, S3Server(work) as server, LeanS3(server, work) as lean, Relay(lean.port, 0) as near, \
            Relay(lean.port, FAR_S) as far:
        tools = [Pgstrata(work, name="pgstrata posix"), Pgstrata(work, name="pgstrata encrypted", more=cipher),
                 OnS3(work, server, lean.port), OnS3(work, server, lean.port, "s3 encrypted", cipher),
                 OnS3(work, server, near.port, "s3 by relay"), OnS3(work, server, far.port, "s3 50 ms away"),
                 OnS3(work, server, name="s3s-fs")]
        for _ in bench.rounds("stores"):
            for tool in tools:
                bench.ready(tool, cluster)
                beside = lambda work, action: beside_server(bench, lean, work, tool, action)
                beside("stores: full", lambda: tool.backup(cluster))
                fresh(tool.restored)
                beside("stores: restore", tool.restore)
                shutil.rmtree(tool.restored)


def beside_server(bench, server, work, tool, action):
    """Measures an action, and what the store took of the processors that both share meanwhile."""
    before = server.cpu_s()
    bench.time(work, tool, action)
    if isinstance(tool, OnS3):
        bench.results.add(work, f"{tool.name}: CPU of the store", Figure(server.cpu_s() - before))


def measure_store_wal(bench):
    """A segment to and from S3, beside the requests alone that it takes."""
    work = bench.work
    with bench.large() as cluster, S3Server(work) as server:
        segments = cluster.full_segments(work / "segments", SEGMENTS)
        tools = [Pgstrata(work, name="pgstrata posix"), OnS3(work, server)]
        for tool in tools:
            bench.ready(tool, cluster)
        for _ in bench.rounds("store-wal"):
            for tool in tools:
                tool.forget(segments)
                bench.time("stores: archive-push", tool, lambda: mean(tool.push(segment) for segment in segments))
            for tool in tools:
                bench.time("stores: archive-get", tool, lambda: mean(get(tool, segment) for segment in segments))
        bench.results.add("stores: archive-push", "the requests alone", Figure(bare_push(server, tools[1], segments)))


def bare_push(server, tool, segments):
    """What the requests of a push cost by themselves, seconds: the stanza's entries listed and read, the segment looked for,
    its name looked at, the object put, and once more looked for rivals."""
    requests, times = BareRequests(server.port), []
    root = f"/{BUCKET}/{tool.repo.name}"
    for segment in segments:
        stored = next((tool.repo / "archive").rglob(segment.name + "*"))
        key = f"/{BUCKET}/{stored.relative_to(tool.repo.parent)}"
        listed = lambda prefix: requests.send("GET", f"/{BUCKET}", f"delimiter=%2F&list-type=2&prefix={prefix.replace('/', '%2F')}")
        looked_for = f"{key.removeprefix(f'/{BUCKET}/').rsplit('-', 1)[0]}-"
        times.append(listed(f"{tool.repo.name}/stanza/bench/") + requests.send("GET", f"{root}/stanza/bench/00000001")
                     + 2 * listed(looked_for) + requests.send("HEAD", key)
                     + requests.send("PUT", f"/{BUCKET}/bare/{segment.name}", body=stored.read_bytes()))
    return sum(times) / len(times)


def measure_store_info(bench):
    """info over many backups in a bucket that takes its time to answer."""
    with S3Server(bench.work) as server, Relay(server.port, INFO_S) as relay:
        tool = OnS3(bench.work, server, relay.port, "s3 20 ms away")
        tool.configure("/nonexistent", "/nonexistent")
        make(tool.repo, STANZA, INFO_BACKUPS, segments=INFO_BACKUPS * 10, chain=24)
        give(tool.repo)
        for _ in bench.rounds("store-info"):
            bench.time(f"stores: info, {INFO_BACKUPS} backups", tool, tool.info)


PARTS = {"full": measure_full, "memory": measure_memory, "defaults": measure_defaults, "diff": measure_diff,
         "diff17": measure_diff17, "restore": measure_restore, "archive": measure_archive, "tables": measure_tables,
         "stores": measure_stores, "store-wal": measure_store_wal, "store-info": measure_store_info}
