"""What was measured as tables, for a terminal or as Markdown, and held against the targets. Reads only the JSON document, so
that tables of an old run can be printed again."""

from collections import namedtuple

# The work in which only memory is looked at: its times are of no use.
WATCHED = "full, memory of all processes"

# A target: our figure of a work against a peer's. `ratio` is how many times less ours must be; 1 is "no more".
Target = namedtuple("Target", "work ours peer ratio metric", defaults=["wall_s"])

TARGETS = [
    Target("full", "pgstrata local", "pgBackRest", 1.25),
    Target("full", "pgstrata local", "WAL-RUS local", 1.2),
    Target("full", "pgstrata stream", "pg_basebackup", 1.4),
    Target("full", "pgstrata stream", "WAL-RUS stream", 1.2),
    Target("full", "pgstrata local", "pgBackRest", 1, "stored_mb"),
    Target("full", "pgstrata stream", "pgBackRest", 1, "stored_mb"),
    Target(WATCHED, "pgstrata local", "pgBackRest", 1, "rss_mib"),
    Target(WATCHED, "pgstrata stream", "pgBackRest", 1, "rss_mib"),
    Target("full, defaults", "pgstrata", "pgBackRest", 12),
    Target("full, defaults", "pgstrata", "pgBackRest", 1, "stored_mb"),
    Target("diff, nothing changed", "pgstrata local", "pgBackRest", 1.3),
    Target("diff, 1 % of pages", "pgstrata local", "pgBackRest", 1.5),
    Target("17: diff, 1 % of pages", "pgstrata local", "pgBackRest", 3),
    Target("restore", "pgstrata", "pgBackRest", 1.25),
    Target("restore", "pgstrata", "WAL-RUS local", 1.2),
    Target("delta restore, nothing changed", "pgstrata", "pgBackRest", 1.5),
    Target("archive-push", "pgstrata", "pgBackRest", 1.5),
    Target("archive-push", "pgstrata", "WAL-RUS local", 1.2),
    Target("archive-get", "pgstrata", "pgBackRest", 1.5),
    Target("archive-get", "pgstrata", "WAL-RUS local", 1.2),
    Target("tables: full", "pgstrata local", "pgBackRest", 1.5),
    Target("tables: diff, nothing changed", "pgstrata local", "pgBackRest", 1.5),
    Target("stores: full", "pgstrata s3", "pgstrata posix", 0.8),
    Target("stores: restore", "pgstrata s3", "pgstrata posix", 0.8),
    Target("stores: full", "pgstrata encrypted", "pgstrata posix", 0.91),
    Target("stores: full", "pgstrata s3 50 ms away", "pgstrata s3 by relay", 0.7),
]
# Peak memory of ours has a bound of its own, MiB.
RSS_MAX = 256


# A figure of ours that has a bound of its own, whatever a peer takes.
Bound = namedtuple("Bound", "work ours most metric", defaults=["wall_s"])
BOUNDS = [
    Bound("stores: full", "pgstrata s3 encrypted", 400, "rss_mib"),
    Bound("stores: restore", "pgstrata s3 encrypted", 400, "rss_mib"),
    Bound("stores: info, 500 backups", "pgstrata s3 20 ms away", 2),
]
# What a push to S3 may take over one into a directory and the requests alone, seconds.
PUSH_OVER_REQUESTS_S = 0.015


def bounded(results):
    """A row for each bound of a work that was measured."""
    for work, ours, most, metric in [*BOUNDS, *push_bound(results)]:
        figures = results.get(work, {}).get(ours, {})
        if metric in figures:
            met = figures[metric] <= most
            name = work + (", peak memory" if metric == "rss_mib" else "")
            yield [name, shown(ours, figures[metric], metric), "", "", f"at most {amount(most, metric)}", "met" if met else "NOT MET"]


def push_bound(results):
    walls = [results.get("stores: archive-push", {}).get(tool, {}).get("wall_s") for tool in ("pgstrata posix", "the requests alone")]
    if None not in walls:
        yield Bound("stores: archive-push", "pgstrata s3", sum(walls) + PUSH_OVER_REQUESTS_S)


def amount(value, metric):
    if metric == "stored_mb":
        return f"{value:.1f} MB" if value >= 10 else f"{value:.2f} MB"
    if metric == "rss_mib":
        return f"{value:.0f} MiB"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"


def work_name(work, metric):
    return work + {"stored_mb": ": stored"}.get(metric, "")


def judged(results):
    """A row for each target of a work that was measured: names, figures, ratio, and whether it is met."""
    for target in TARGETS:
        if target.work in results:
            yield judge(target, results[target.work])


def judge(target, tools):
    figures = [tools.get(tool, {"missing": "not measured"}) for tool in (target.ours, target.peer)]
    ours, peer = (figure.get(target.metric) for figure in figures)
    work = work_name(target.work, target.metric)
    needs = f"{target.ratio:g} ×" if target.ratio != 1 else "no more"
    if ours is None or peer is None:
        reason = next(figure["missing"] for figure in figures if target.metric not in figure)
        return [work, *(shown(tool, value, target.metric) for tool, value in
                        ((target.ours, ours), (target.peer, peer))), "", needs, f"not measured: {reason}"]
    met = peer / ours >= target.ratio and not (target.metric == "rss_mib" and ours > RSS_MAX)
    return [work, shown(target.ours, ours, target.metric), shown(target.peer, peer, target.metric),
            f"{peer / ours:.2f} ×", needs, "met" if met else "NOT MET"]


def shown(tool, value, metric):
    return f"{tool}: {amount(value, metric) if value is not None else '?'}"


def measured(results):
    """A row for each work and tool."""
    for work, tools in results.items():
        for tool, figures in tools.items():
            if "missing" in figures:
                yield [work, tool, "not measured: " + figures["missing"], "", "", ""]
            else:
                times = ["", ""] if work == WATCHED else [amount(figures[name], name) for name in ("wall_s", "cpu_s")]
                yield [work, tool, *times, amount(figures["rss_mib"], "rss_mib"),
                       amount(figures["stored_mb"], "stored_mb") if "stored_mb" in figures else ""]


HEAD_JUDGED = ["work", "ours", "peer", "ratio", "target", "is"]
HEAD_MEASURED = ["work", "tool", "wall", "CPU", "peak memory", "stored"]


def plain(head, rows):
    rows = [head, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    # A reason may be long, and stands last in its line.
    widths = [min(width, 40) for width in widths]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def markdown(head, rows):
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(line.replace("|  |", "| |").replace("|  |", "| |") for line in lines)


def environment_text(document):
    """One paragraph: where and with what."""
    machine, versions, databases = (document[key] for key in ("machine", "versions", "databases"))
    where = (f"{machine['date']}: {machine['cores']} cores ({machine['cpu']}), {machine['memory_gib']} GiB of memory, "
             f"Linux {machine['kernel']}, {machine['filesystem']}.")
    what = " ".join(f"Database `{name}`: PostgreSQL {facts['postgresql'].split()[0]}, {facts['database_mb']} MB, "
                    f"{facts['files']} files." for name, facts in databases.items())
    tools = ", ".join(f"{tool} {version}" for tool, version in versions.items())
    return f"{where} {what} Tools: {tools}. Medians of {document['rounds']} rounds."


def report(document, as_markdown=False):
    table = markdown if as_markdown else plain
    results = document["results"]
    return "\n\n".join([environment_text(document), table(HEAD_JUDGED, [*judged(results), *bounded(results)]), table(HEAD_MEASURED, measured(results))])
