"""A repository with many backups and much WAL, made without a server. What matters there is how often the store is asked, not
what the objects hold: manifests are real, bundles and WAL are a few bytes. One full, and then diffs and incrs, for each day."""

import hashlib
import json
from datetime import datetime, timedelta, timezone

SEGMENTS_IN_DIRECTORY = 256


def metadata(kind, body):
    """A metadata object: header, JSON, SHA-256 of both (docs/repository-format.md, section 4)."""
    data = b"pgstrata" + kind + b"\x01\x00\x00\x00" + json.dumps(body, separators=(",", ":")).encode()
    return data + hashlib.sha256(data).digest()


def lsn(segment, offset):
    return f"{segment // SEGMENTS_IN_DIRECTORY:X}/{(segment % SEGMENTS_IN_DIRECTORY) << 24 | offset:X}"


def manifest(stanza, label, references, stopped, segment):
    record = {"size": 1, "sha256": "00" * 32}
    position = lambda offset: {"lsn": lsn(segment, offset), "timeline": 1}
    return {
        "program-version": "0.1.0",
        "label": label,
        "stanza": stanza,
        **({"prior": references[-1], "references": references} if references else {}),
        "cluster": {
            "history-id": 1,
            "system-id": 7710602463770170940,
            "version": "15",
            "version-num": 150018,
            "wal-segment-size": 16 << 20,
            "page-size": 8192,
            "page-checksums": True,
            "data-directory-mode": 448,
        },
        "source": "stream",
        "timestamp-us": {"start": (stopped - 1) * 1_000_000, "stop": stopped * 1_000_000},
        "wal": {"start": position(0x28), "stop": position(0x100)},
        "compression": {"type": "zst", "level": 3},
        "block": {"size": 8192, "digest-key": "11" * 32},
        "databases": [{"oid": 5, "name": "postgres"}],
        "totals": {
            "files": 1000, "size": 1 << 30, "size-delta": 1 << 20, "repo-size": 1 << 28, "repo-size-delta": 1 << 18,
            "map-size": 1 << 12, "bundles": 1,
        },
        "archive-checked": True,
        "file-list": record,
        "backup-manifest": record,
    }


def make(root, stanza, backups, segments, chain):
    """Writes it all; the backups are spread evenly over the WAL, and over the days up to now."""
    write(root / f"stanza/{stanza}/00000001", metadata(b"stza", {
        "id": 1, "system-id": 7710602463770170940, "version": "15", "created": 1}))
    now = datetime.now(timezone.utc).replace(microsecond=0)
    references = []
    for number in range(backups):
        begun = now - timedelta(hours=backups - number)
        stamp = begun.strftime("%Y%m%d-%H%M%S")
        if number % chain == 0:
            full, label, references = f"{stamp}F", f"{stamp}F", []
        else:
            label = f"{full}_{stamp}I"
        directory = root / f"backup/{stanza}/{label}"
        for name in ("bundle/00000001", "map/00000001", "files", "backup_manifest", "started"):
            write(directory / name, b"x")
        segment = segments * number // backups
        write(directory / "manifest", metadata(b"mani", manifest(stanza, label, references, int(begun.timestamp()), segment)))
        references = [*references, label]
    digest = "ab" * 32
    for segment in range(segments):
        high, low = divmod(segment, SEGMENTS_IN_DIRECTORY)
        directory = f"{1:08X}{high:08X}"
        write(root / f"archive/{stanza}/15-1/{directory}/{directory}{low:08X}-{digest}.zst", b"x")


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
