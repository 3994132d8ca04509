#!/usr/bin/env python3
"""A second restorer: docs/repository-format.md as a program, and nothing else.

It was written from that page alone and shares no line with pgstrata, so that the page stays true: where this
program cannot restore what pgstrata wrote, one of the two is wrong. It reads repositories on posix stores, plain and
encrypted, checks every digest, writes a cluster that starts, and fetches the WAL for it. Section numbers are those of
the page.

    restore.py list    --repo DIR --stanza NAME
    restore.py restore --repo DIR --stanza NAME --data DIR [--set LABEL] [--tablespace OID=DIR] [--target immediate] ...
    restore.py get     --repo DIR --stanza NAME --archive-id ID FILE PATH        (restore_command)
    restore.py vectors PAGE                                                      (the test vectors of section 22)
"""

import argparse
import functools
import hashlib
import io
import json
import os
import re
import shlex
import sys
import unicodedata

import zstandard

from stored import (
    Repository,
    apply_patch,
    block_digest,
    decode_map,
    decompress_frame,
    find_wal,
    need,
    next_frame,
    object_header,
    read_wal,
    segments_needed,
)


# --- sections 9, 13 and 14: a backup ------------------------------------------------------------------------------------


def unescape(text):
    need(not re.search("%(?![0-9A-Fa-f]{2})", text), f"'{text}': not an escape")
    parts = re.split("%([0-9A-Fa-f]{2})", text)
    return b"".join(bytes.fromhex(part) if n % 2 else part.encode() for n, part in enumerate(parts))


def data_path(text):
    path = unescape(text)
    parts = path.split(b"/")
    good = len(path) <= 4096 and b"\0" not in path and not {b"", b".", b".."} & set(parts)
    need(good, f"'{text}': no path in a data directory")
    return path


LINE_MAX = 64 << 10
LABEL = re.compile(r"(\d{8}-\d{6}F)(?:_(\d{8}-\d{6})[DI])?")


def labels(repository, stanza):
    """The backups of a stanza, oldest first."""
    names = repository.list(f"backup/{stanza}")
    found = [name for name in names if LABEL.fullmatch(name) and repository.exists(f"backup/{stanza}/{name}/manifest")]
    return sorted(found, key=lambda name: name[-16:-1])


class Backup:
    def __init__(self, repository, stanza, label):
        self.repository, self.stanza, self.label = repository, stanza, label
        self.manifest = self.read_manifest(label)
        self.block = self.manifest["block"]["size"]
        self.key = bytes.fromhex(self.manifest["block"]["digest-key"])
        self.holders = [label] + self.manifest.get("references", [])
        for reference in self.holders[1:]:
            other = self.read_manifest(reference)
            need(other["block"] == self.manifest["block"], f"{reference}: another block size or digest key")
        self.entries, self.bundles = {}, []
        self.read_file_list()
        object_ = repository.recorded(self.path(0, "backup_manifest"), self.manifest["backup-manifest"])
        need(object_header(object_, b"pgmn") == "zst", "backup_manifest: not compressed with zst")
        self.backup_manifest, rest = next_frame("zst", object_[16:], "backup_manifest")
        need(not rest, "backup_manifest: bytes follow its stream")

    def path(self, reference, name):
        return f"backup/{self.stanza}/{self.holders[reference]}/{name}"

    def read_manifest(self, label):
        path = f"backup/{self.stanza}/{label}/manifest"
        manifest = self.repository.metadata(path, b"mani")
        need((manifest["label"], manifest["stanza"]) == (label, self.stanza), f"{path}: of another backup")
        size = manifest["block"]["size"]
        need(512 <= size <= 65536 and size & (size - 1) == 0, f"{path}: a block size that cannot be")
        return manifest

    def read_file_list(self):
        path = self.path(0, "files")
        data = self.repository.recorded(path, self.manifest["file-list"])
        need(object_header(data, b"file", path) == "zst", f"{path}: not compressed with zst")
        lines = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data[16:])))
        while line := lines.readline(LINE_MAX):
            need(line.endswith(b"\n"), f"{path}: a line is cut off or too long")
            entry = json.loads(line)
            if "bundle" in entry:
                self.bundles.append(entry)
                continue
            name = data_path(entry["path"])
            need(name not in self.entries, f"{path}: '{entry['path']}' is listed twice")
            self.entries[name] = entry
        files = [entry["size"] for entry in self.entries.values() if entry["kind"] == "file"]
        totals = self.manifest["totals"]
        need(len(files) <= totals["files"] and sum(files) <= totals["size"], f"{path}: more files than the manifest counts")
        for name, entry in self.entries.items():
            if entry["kind"] == "file":
                need(("map" in entry) == (entry["size"] > 0), f"{path}: '{entry['path']}' has a size and no map, or a map and no size")
            for parent in parents(name):
                need(self.entries.get(parent, {}).get("kind") != "file", f"{path}: '{entry['path']}' lies below a file")

    def verify_bundles(self):
        """Every bundle of this backup against its recorded size and SHA-256."""
        for bundle in self.bundles:
            directory = {"data": "bundle", "map": "map"}[bundle["bundle"]]
            self.repository.recorded(self.path(0, f"{directory}/{bundle['number']:08}"), bundle)

    def map_bytes(self, place):
        reference = place.get("reference", 0)
        path = self.path(reference, f"map/{place['bundle']:08}")
        object_header(self.repository.range(path, 0, 16), b"map ", path)
        data = self.repository.range(path, place["offset"], place["len"])
        need(block_digest(self.key, data).hex() == place["digest"], f"{path}: a block map is damaged")
        references = len(self.holders) - 1 if reference == 0 else reference - 1
        return data, reference, references

    def blocks(self, entry):
        """Where each block of a file is, and its digest."""
        if entry["size"] == 0:
            return []
        data, own, references = self.map_bytes(entry["map"])
        if "base" not in entry:
            return decode_map(data, entry["size"], self.block, own, references)
        base, size = entry["base"], entry["base"]["size"]
        base_data, *numbers = self.map_bytes(base)
        base_blocks = decode_map(base_data, size, self.block, *numbers)
        return apply_patch(data, base_blocks, size, entry["size"], self.block, own, references)

    @functools.lru_cache(maxsize=256)
    def compression(self, reference, bundle):
        path = self.path(reference, f"bundle/{bundle:08}")
        return object_header(self.repository.range(path, 0, 16), b"bndl", path)

    @functools.lru_cache(maxsize=64)
    def frame(self, frame):
        reference, bundle, offset, stored, raw = frame
        path = self.path(reference, f"bundle/{bundle:08}")
        data = self.repository.range(path, offset, stored)
        return decompress_frame(self.compression(reference, bundle), data, raw, f"{path} at {offset}")

    def content(self, entry):
        """The bytes of a file, block after block, each of them proven."""
        left = entry["size"]
        for number, (frame, raw_offset, digest) in enumerate(self.blocks(entry)):
            data = self.frame(frame)[raw_offset : raw_offset + min(left, self.block)]
            need(block_digest(self.key, data) == digest, f"block {number} of '{entry['path']}' is damaged")
            left -= len(data)
            yield data
        need(left == 0, f"'{entry['path']}': its blocks do not make up its size")


def parents(path):
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path


# pg_verifybackup would miss the first two, so they are taken out of PostgreSQL's manifest too.
MISSED = (b"tablespace_map", b"recovery.conf")
LEFT_OUT = {b"recovery.signal", b"standby.signal", b"postmaster.pid", b"postmaster.opts", b"backup_manifest", *MISSED}
CONTROL, PENDING, MARKER = b"global/pg_control", b"global/pg_control.pgstrata", b"pgstrata.restoring"
CATALOG_VERSIONS = {
    "13": 202007201,
    "14": 202107181,
    "15": 202209061,
    "16": 202307071,
    "17": 202406281,
    "18": 202506291,
}
TABLESPACES, OID = b"pg_tblspc", re.compile(rb"[1-9][0-9]{0,9}")


class Target:
    """The data directory that is written."""

    def __init__(self, backup, data, tablespace_map):
        self.backup, self.data = backup, os.path.abspath(os.fsencode(data))
        mode = backup.manifest["cluster"]["data-directory-mode"]
        self.group = mode & 0o040 != 0
        self.mode = 0o750 if self.group else 0o700
        self.file_mode = 0o640 if self.group else 0o600
        self.links = self.tablespaces(tablespace_map)
        self.inner = self.inner_links()
        self.synced = []
        for name in (CONTROL, b"backup_label"):
            need(name in backup.entries, f"the backup holds no {name.decode()}")
        for name in (PENDING, MARKER):
            need(name not in backup.entries, f"the backup holds a file {name.decode()}")

    def tablespaces(self, tablespace_map):
        """The link of each tablespace outside the data directory, and where it leads."""
        recorded = {str(t["oid"]): t["location"] for t in self.backup.manifest.get("tablespaces", [])}
        for path, entry in self.backup.entries.items():
            parent, _, name = path.rpartition(b"/")
            if entry["kind"] == "link" and parent == TABLESPACES and OID.fullmatch(name):
                recorded.setdefault(name.decode(), entry["target"])
        links = {}
        for oid, text in recorded.items():
            need(OID.fullmatch(oid.encode()), f"pg_tblspc/{oid}: a tablespace has a number")
            if not text.startswith("/"):
                continue
            location = b"/" + data_path(text[1:])
            place = os.fsencode(tablespace_map.pop(oid, os.fsdecode(location)))
            outside = place.startswith(b"/") and not overlap(place, self.data)
            need(outside and place not in links.values(), f"tablespace {oid} cannot go to {place}")
            links[TABLESPACES + b"/" + oid.encode()] = place
        need(not tablespace_map, f"no such tablespace: {', '.join(tablespace_map)}")
        self.check_behind(links)
        return links

    def inner_links(self):
        """Links to other entries of the data directory: they are made as they are."""
        found = {}
        for path, entry in self.backup.entries.items():
            if entry["kind"] == "link" and path.rpartition(b"/")[0] != TABLESPACES:
                target = unescape(entry["target"])
                place = os.path.normpath(os.path.join(os.path.dirname(path), target))
                if not target.startswith(b"/") and place.split(b"/")[0] not in (b"..", b"."):
                    found[path] = target
        for path in self.backup.entries:
            need(not found.keys() & set(parents(path)), f"{path}: below a link within the data directory")
        return found

    def check_behind(self, links):
        major = self.backup.manifest["cluster"]["version"]
        need(major in CATALOG_VERSIONS, f"PostgreSQL {major} is not known")
        version = re.compile(rf"PG_{major}_{CATALOG_VERSIONS[major]}(/|$)".encode())
        for path in self.backup.entries:
            for link in links:
                if path.startswith(link + b"/"):
                    need(version.match(path[len(link) + 1 :]), f"{path}: not a path of this cluster's tablespace")

    def mode_of(self, path, mode):
        """Permission bits; below a tablespace nobody else is let in."""
        behind = any(path.startswith(link + b"/") for link in self.links)
        return mode & (0o750 if behind else 0o777)

    def place(self, path):
        for link, target in self.links.items():
            if path == link or path.startswith(link + b"/"):
                return target + path[len(link) :]
        return os.path.join(self.data, path)

    def write(self, settings, signal):
        need(not os.path.lexists(self.data) or not os.listdir(self.data), "the data directory is not empty")
        self.directory(self.data, self.mode)
        self.small(MARKER, b"")
        self.directories()
        for path, entry in self.backup.entries.items():
            if entry["kind"] == "file" and path not in LEFT_OUT:
                self.file(PENDING if path == CONTROL else path, entry)
        if settings:
            place = os.path.join(self.data, b"postgresql.auto.conf")
            before = open(place, "rb").read() if os.path.exists(place) else b""
            self.small(b"postgresql.auto.conf", before.rstrip() + b"\n\n" + settings_text(settings))
        if signal:
            self.small(signal, b"")
        self.small(b"backup_manifest", self.plain_manifest())
        self.publish()

    def directories(self):
        """Parents first, then links, then what is behind them. Any other link comes back as a directory."""
        modes = {}
        for path, entry in self.backup.entries.items():
            if entry["kind"] != "file" and path not in self.links and path not in self.inner:
                modes[path] = self.mode_of(path, entry["mode"]) if entry["kind"] == "dir" else self.mode
            for parent in parents(path):
                if self.backup.entries.get(parent, {}).get("kind") != "dir" and parent not in self.links:
                    modes.setdefault(parent, self.mode)
        behind = [path for path in sorted(modes) if self.place(path) != os.path.join(self.data, path)]
        for path in sorted(modes):
            if path not in behind:
                self.directory(self.place(path), modes[path])
        for link, target in self.links.items():
            os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
            need(not os.path.lexists(target) or not os.listdir(target), f"{target}: not empty")
            self.directory(target, self.mode)
            os.symlink(target, os.path.join(self.data, link))
        for link, target in self.inner.items():
            os.symlink(target, os.path.join(self.data, link))
        for path in behind:
            self.directory(self.place(path), modes[path])

    def directory(self, place, mode):
        if not os.path.isdir(place):
            os.mkdir(place, 0o700)
        os.chmod(place, mode | 0o700)
        self.synced.append(place)

    def file(self, path, entry):
        place = self.place(path)
        with open(place, "xb") as file:
            for data in self.backup.content(entry):
                file.write(data)
            self.finish(file, self.mode_of(path, entry["mode"]))
        os.utime(place, (entry["mtime"], entry["mtime"]))

    def small(self, name, content):
        place = os.path.join(self.data, name)
        if os.path.lexists(place):
            os.unlink(place)
        with open(place, "xb") as file:
            file.write(content)
            self.finish(file, self.file_mode)

    def finish(self, file, mode):
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())

    def publish(self):
        for directory in self.synced:
            sync_directory(directory)
        os.unlink(os.path.join(self.data, MARKER))
        os.rename(os.path.join(self.data, PENDING), os.path.join(self.data, CONTROL))
        sync_directory(os.path.join(self.data, b"global"))
        sync_directory(self.data)

    def plain_manifest(self):
        """PostgreSQL's manifest as that of what was restored."""
        lines = self.backup.backup_manifest.splitlines(keepends=True)
        changed = whole_files(lines, self.backup.entries)
        missed = tuple(b'{ "Path": "%s",' % name for name in MISSED)
        for at in reversed([n for n, line in enumerate(lines) if line.startswith(missed)]):
            if lines[at + 1].startswith(b"]"):
                lines[at - 1] = lines[at - 1].rstrip(b",\n") + b"\n"
            del lines[at]
            changed = True
        if changed:
            need(lines[-1].startswith(b'"Manifest-Checksum"'), "backup_manifest: its last line is another one")
            digest = hashlib.sha256(b"".join(lines[:-1])).hexdigest()
            lines[-1] = b'"Manifest-Checksum": "%s"}\n' % digest.encode()
        return b"".join(lines)


N = rb"[1-9][0-9]*"
INCREMENTAL = re.compile(
    rb"((?:global|base/%b|pg_tblspc/%b/PG_[^/]*/%b)/)INCREMENTAL\.(%b(?:_fsm|_vm|_init)?(?:\.%b)?)" % (N, N, N, N, N)
)


def whole_files(lines, entries):
    """Gives incremental files the names and sizes of the files they stand for; says whether there were any."""
    found = {}
    for number, line in enumerate(lines):
        if line.startswith((b'{ "Path": ', b'{ "Encoded-Path": ')):
            fields = json.loads(line.rstrip(b",\n"))
            path = fields["Path"].encode() if "Path" in fields else bytes.fromhex(fields["Encoded-Path"])
            match = INCREMENTAL.fullmatch(path)
            if match or path == b"backup_label":
                found[number] = (match.group(1) + match.group(2) if match else None, fields["Last-Modified"])
    if not any(path for path, _ in found.values()):
        return False
    for number, (path, modified) in found.items():
        path = path or b"backup_label"
        need(path in entries, f"{path}: in PostgreSQL's manifest and not in the backup")
        end = lines[number][lines[number].rindex(b"}") + 1 :]
        text = '{ "Path": "%s", "Size": %d, "Last-Modified": "%s" }' % (path.decode(), entries[path]["size"], modified)
        lines[number] = text.encode() + end
    return True


def overlap(a, b):
    return (a + b"/").startswith(b + b"/") or (b + b"/").startswith(a + b"/")


def sync_directory(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# --- section 16: recovery ---------------------------------------------------------------------------------------------


def archive_of(backup):
    cluster = backup.manifest["cluster"]
    return f"{cluster['version']}-{cluster['history-id']}"


TARGETS = ["recovery_target", "recovery_target_lsn", "recovery_target_name", "recovery_target_time", "recovery_target_xid"]


def recovery_settings(options, backup):
    words = [sys.executable, os.path.abspath(__file__), "get", "--repo", os.path.abspath(options.repo), "--stanza", options.stanza]
    words += ["--archive-id", archive_of(backup)]
    if options.pass_file:
        words += ["--pass-file", os.path.abspath(options.pass_file)]
    command = " ".join(shlex.quote(word).replace("%", "%%") for word in words) + ' %f "%p"'
    kind, _, value = options.target.partition("=")
    # The one that is set comes last: PostgreSQL refuses even an empty one behind it.
    targets = dict.fromkeys(TARGETS, "")
    if kind != "latest":
        name = "recovery_target" if kind == "immediate" else f"recovery_target_{kind}"
        need(name in targets and (value or kind == "immediate"), f"no such target: {options.target}")
        del targets[name]
        targets[name] = value or "immediate"
    timeline = options.timeline or (str(backup.manifest["wal"]["stop"]["timeline"]) if kind == "immediate" else "latest")
    return {
        "restore_command": command,
        **targets,
        "recovery_target_inclusive": "true",
        "recovery_target_action": options.action,
        "recovery_target_timeline": timeline,
        "recovery_min_apply_delay": "0",
        "archive_cleanup_command": "",
        "recovery_end_command": "",
        **({"archive_mode": "off"} if options.archive_mode_off else {}),
    }


def settings_text(settings):
    escapes = str.maketrans({"'": "''", "\\": "\\\\", "\n": "\\n", "\r": "\\r"})
    return "".join(f"{name} = '{value.translate(escapes)}'\n" for name, value in settings.items()).encode()


# --- commands ---------------------------------------------------------------------------------------------------------


def pass_phrase(content):
    """Section 12: white space around a text does not belong to it; of other bytes one line break at the end."""
    try:
        text = content.decode().strip()
        if not any(unicodedata.category(letter) == "Cc" for letter in text):
            return text.encode()
    except UnicodeDecodeError:
        pass
    return re.sub(rb"\r?\n\Z", b"", content, count=1)


def open_repository(options):
    if not options.pass_file:
        return Repository(options.repo)
    with open(options.pass_file, "rb") as file:
        return Repository(options.repo, pass_phrase(file.read()))


def run_list(options):
    for label in labels(open_repository(options), options.stanza):
        print(label)
    return 0


def run_restore(options):
    repository = open_repository(options)
    known = labels(repository, options.stanza)
    need(known, "there is no backup")
    backup = Backup(repository, options.stanza, options.set or known[-1])
    backup.verify_bundles()
    archive = f"archive/{options.stanza}/{archive_of(backup)}"
    if options.target != "none":
        for segment in segments_needed(repository, archive, backup.manifest):
            need(find_wal(repository, archive, segment), f"WAL segment {segment} is not in the archive")
    settings = recovery_settings(options, backup) if options.target != "none" else {}
    signal = b"standby.signal" if options.standby else b"recovery.signal"
    tablespace_map = dict(pair.split("=", 1) for pair in options.tablespace)
    Target(backup, options.data, tablespace_map).write(settings, signal if settings else None)
    print(backup.label)
    return 0


def run_get(options):
    need(re.fullmatch("[0-9A-F]{24}(\\.partial|\\.[0-9A-F]{8}\\.backup)?|[0-9A-F]{8}\\.history", options.file), "no name of WAL")
    repository = open_repository(options)
    found = find_wal(repository, f"archive/{options.stanza}/{options.archive_id}", options.file)
    if not found:
        return 1
    data = read_wal(repository, *found)
    beside = options.destination + ".second-restorer"
    with open(beside, "wb") as file:
        file.write(data)
    os.rename(beside, options.destination)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run in (("list", run_list), ("restore", run_restore), ("get", run_get)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--repo", required=True)
        command.add_argument("--stanza", required=True)
        command.add_argument("--pass-file")
        if name == "restore":
            command.add_argument("--data", required=True)
            command.add_argument("--set", help="the label of a backup; the newest where it is left out")
            command.add_argument("--tablespace", action="append", default=[], metavar="OID=DIR")
            command.add_argument("--target", default="latest", help="latest, immediate, none, or lsn=, name=, time=, xid=")
            command.add_argument("--action", default="promote", choices=["pause", "promote", "shutdown"])
            command.add_argument("--timeline")
            command.add_argument("--standby", action="store_true")
            command.add_argument("--archive-mode-off", action="store_true")
        if name == "get":
            command.add_argument("--archive-id", required=True)
            command.add_argument("file")
            command.add_argument("destination")
    command = commands.add_parser("vectors")
    command.add_argument("page")
    command.set_defaults(run=lambda options: __import__("vectors").check(options.page))
    options = parser.parse_args()
    try:
        return options.run(options)
    except Exception as error:  # Whatever it is: only a proven absence may end with a code up to 125.
        print(f"restore.py: {type(error).__name__}: {error}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
