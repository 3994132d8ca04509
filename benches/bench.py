"""What every benchmark is built on: running a command as the database's owner with its cost, and results by work and tool."""

import json
import os
import platform
import pwd
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
METRICS = ("wall_s", "cpu_s", "rss_mib")


class Failed(Exception):
    """A command that ended with an error; the message is the command and then its last words."""

    def reason(self):
        """The first of these words."""
        return (str(self).splitlines()[1:] or [str(self)])[0]


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
    """One finished process. CPU time is that of the process and its children, without the server; peak memory is that of
    the largest one among them, which is what wait4 tells."""

    def __init__(self, wall_s, usage, stored_bytes=None):
        self.wall_s = wall_s
        self.cpu_s = usage.ru_utime + usage.ru_stime
        self.rss_mib = usage.ru_maxrss / 1024
        self.stored_bytes = stored_bytes


class Figure:
    """A time that is not that of a process, seconds."""

    cpu_s = rss_mib = 0
    stored_bytes = None

    def __init__(self, wall_s):
        self.wall_s = wall_s


class Watching:
    """While it is on, `rss_mib` is of the whole tree of processes, and the times mean nothing."""

    on = False

    def __enter__(self):
        self.on = True

    def __exit__(self, *_):
        self.on = False


watching = Watching()


class TreeMemory(threading.Thread):
    """Looks again and again at a process and all below it: the most that they held together, MiB. Pages that several of them
    share count once. The looking costs processor time, so what is watched is not timed."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak_mib, self.ended = pid, 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.01):
            self.peak_mib = max(self.peak_mib, sum(map(proportional_kib, tree_of(self.pid))) / 1024)


def tree_of(pid):
    """A process and its children, and theirs."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(below for child in children for below in tree_of(child))]


def proportional_kib(pid):
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def run(command, env=None, stdout=subprocess.DEVNULL, cwd="/tmp"):
    """Runs a command as the owner; returns its cost. See `watching` for the memory of all its processes together."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/tmp", "LC_ALL": "C", **(env or {})}
    with tempfile.TemporaryFile() as errors:
        begin = time.perf_counter()
        child = subprocess.Popen([str(part) for part in command], env=environment, stdin=subprocess.DEVNULL,
                                 stdout=stdout, stderr=errors, cwd=cwd, preexec_fn=demote)
        memory = TreeMemory(child.pid) if watching.on else None
        if memory:
            memory.start()
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            errors.seek(0)
            words = errors.read().decode(errors="replace").strip()
            raise Failed(f"exit code {child.returncode}: {' '.join(map(str, command))}\n{words}")
    cost = Run(wall_s, usage)
    if memory:
        memory.ended.set()
        memory.join()
        cost.rss_mib = memory.peak_mib
    return cost


def text_of(command):
    """What a command prints, as one who has no rights; empty if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.stdout.strip() if done.returncode == 0 else ""


def size_of(directory):
    return sum(path.stat().st_size for path in Path(directory).rglob("*") if path.is_file())


def fresh(directory):
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
    give(directory)
    return directory


def copy_of(program, path):
    """A copy of a program that everybody may run."""
    shutil.copy(program, path)
    path.chmod(0o755)
    return path


def work_directory(path):
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o755)
    give(path)
    return path


def mean(costs):
    """Many short runs count as one."""
    costs = list(costs)
    first = costs[0]
    first.wall_s = statistics.mean(cost.wall_s for cost in costs)
    first.cpu_s = statistics.mean(cost.cpu_s for cost in costs)
    first.rss_mib = max(cost.rss_mib for cost in costs)
    return first


class Results:
    """Every measurement, by what was measured and which tool, and what could not be measured, with the reason."""

    def __init__(self):
        self.runs = {}
        self.missing = {}

    def add(self, work, tool, cost):
        self.runs.setdefault(work, {}).setdefault(tool, []).append(cost)
        stored = f"{cost.stored_bytes / 1e6:10.2f} MB" if cost.stored_bytes is not None else ""
        print(f"  {work:32} {tool:22} {cost.wall_s * 1000:9.1f} ms {cost.rss_mib:6.0f} MiB{stored}", flush=True)

    def miss(self, work, tool, reason):
        if tool not in self.missing.setdefault(work, {}):
            print(f"  {work:32} {tool:22} NOT MEASURED: {reason}", flush=True)
        self.missing[work][tool] = reason

    def summary(self):
        """Medians as plain data, and `missing` in the place of figures for what was not measured."""
        summary = {work: {tool: medians(costs) for tool, costs in tools.items()} for work, tools in self.runs.items()}
        for work, tools in self.missing.items():
            for tool, reason in tools.items():
                summary.setdefault(work, {})[tool] = {"missing": reason}
        return summary


def medians(costs):
    figures = {name: statistics.median(getattr(cost, name) for cost in costs) for name in METRICS}
    figures["wall_s_all"] = [round(cost.wall_s, 4) for cost in costs]
    figures["rss_mib"] = max(cost.rss_mib for cost in costs)
    if costs[0].stored_bytes is not None:
        figures["stored_mb"] = statistics.median(cost.stored_bytes for cost in costs) / 1e6
    return figures


def machine(work):
    """The machine, for those who read the figures."""
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory_kb = int(open("/proc/meminfo").readline().split()[1])
    filesystem = text_of(["df", "--output=fstype", work]).split()[-1]
    return {"date": time.strftime("%Y-%m-%d"), "cpu": cpu, "cores": os.cpu_count(), "memory_gib": round(memory_kb / 2**20),
            "kernel": platform.release(), "filesystem": filesystem}


def write_json(path, document):
    path.write_text(json.dumps(document, indent=1) + "\n")
