"""The test vectors of section 22 of docs/repository-format.md: made here, held against the page, and read there by
pgstrata's own unit tests. `python vectors.py` prints the block of the page."""

import hashlib
import json
import re
import struct
import textwrap

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import stored

KEY = bytes(range(32))
BLOCK = 8192
PASS = "correct horse battery staple"


def varint(value):
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def header(kind, compression=0):
    return b"pgstrata" + kind + struct.pack("<HBB", 1, compression, 0)


def metadata(kind, body):
    data = header(kind) + body
    return data + hashlib.sha256(data).digest()


def block(letter, length=BLOCK):
    return letter.encode() * length


def digest(data):
    return stored.block_digest(KEY, data)


def encode_map(frames, runs, blocks):
    numbers = [len(frames), *(n for frame in frames for n in frame), len(runs), *(n for run in runs for n in run)]
    return b"".join(map(varint, numbers)) + b"".join(map(digest, blocks))


def shown(blocks):
    """Block after block: reference, bundle, offset of its frame, and its raw offset in it."""
    return " ".join(f"{f[0]}/{f[1]}/{f[2]}+{raw}" for f, raw, _ in blocks)


def maps():
    """The map of a file of 20,000 bytes (a, b, c), and a patch that makes of it one of 32,768 (a, x, y, z)."""
    old = [block("a"), block("b"), block("c", 20000 - 2 * BLOCK)]
    whole = encode_map([(0, 1, 16, 100, 20000)], [(0, 0, 3)], old)
    new = [block("x"), block("y"), block("z")]
    patch = encode_map([(0, 2, 4711, 300, 1048576)], [(1, 0, 24576, 3)], new)
    base = stored.decode_map(whole, 20000, BLOCK, 1, 0)
    result = stored.apply_patch(patch, base, 20000, 32768, BLOCK, 0, 1)
    return {
        "map": whole,
        "map-digest": digest(whole),
        "map-blocks": shown(stored.decode_map(whole, 20000, BLOCK, 0, 0)),
        "patch": patch,
        "patch-blocks": shown(result),
    }


def keys():
    facts = {"recipient": "0000000000000001", "comment": "vector", "made": 1795264539, "cipher": "aes-256-gcm"}
    facts |= {"data-key": "9f3c51d0a7e2b846", "kdf": "argon2id", "memory-kib": 64, "passes": 2, "lanes": 1}
    facts |= {"salt": "00112233445566778899aabbccddeeff"}
    data_key, nonce = bytes(range(64, 96)), bytes(range(12))
    text = json.dumps(facts, separators=(",", ":")).encode()
    proven = header(b"key ") + struct.pack("<I", len(text)) + text
    wrapping = stored.wrapping_key(PASS.encode(), bytes.fromhex(facts["salt"]), 64, 2, 1)
    wrapped = AESGCM(wrapping).encrypt(nonce, data_key, proven)
    usual = stored.wrapping_key(PASS.encode(), bytes.fromhex(facts["salt"]), 19456, 2, 1)
    return {
        "pass-phrase": PASS,
        "argon2id-19456-2-1": usual,
        "argon2id-64-2-1": wrapping,
        "data-key": data_key,
        "key-object": metadata(b"key ", proven[16:] + nonce + wrapped),
    }


def encrypted(path, plain, key_id, data_key):
    head = b"pgstratc" + struct.pack("<HB5x", 1, 16) + key_id + bytes(range(128, 160))
    cipher = stored.object_cipher(head, path, key_id, data_key)
    return head + cipher.encrypt(bytes(11) + b"\1", plain, head)


def make():
    entry = b'{"id":1,"system-id":7710602463770170940,"version":"15","control-version":1300,"created":1795264539}'
    history = b"1\t0/5000000\tno recovery target specified\n"
    vectors = {
        "varint-300": varint(300),
        "digest-key": KEY,
        "digest-of-8192-times-a": digest(block("a")),
        "digest-of-abc": digest(b"abc"),
        **maps(),
        "stanza-path": "stanza/demo/00000001",
        "stanza-object": metadata(b"stza", entry),
        "wal-name": f"00000002.history-{hashlib.sha256(history).hexdigest()}",
        "wal-object": header(b"wal ") + struct.pack("<Q", len(history)) + history,
        **keys(),
    }
    sealed = encrypted("stanza/demo/00000001", vectors["stanza-object"], bytes.fromhex("9f3c51d0a7e2b846"), vectors["data-key"])
    vectors["encrypted-stanza-object"] = sealed
    return vectors


def block_of_page(vectors):
    lines = []
    for name, value in vectors.items():
        value = value.hex() if isinstance(value, bytes) else value
        lines += textwrap.wrap(f"{name} = {value}", 116, subsequent_indent="    ", break_on_hyphens=False)
    return "```vectors\n" + "\n".join(lines) + "\n```\n"


def check(page):
    """Whether the page has these vectors, and what this restorer makes of them is what they say."""
    text = open(page, encoding="utf-8").read()
    vectors = make()
    stored.need(block_of_page(vectors) in text, f"{page}: does not have the vectors that vectors.py makes")
    opened = stored.unwrap(vectors["key-object"], PASS.encode())
    stored.need(opened == (bytes.fromhex("9f3c51d0a7e2b846"), vectors["data-key"]), "the key object opens to something else")
    stored.need(stored.unwrap(vectors["key-object"], b"another") is None, "a wrong pass phrase opens the key object")
    sealed, path = vectors["encrypted-stanza-object"], vectors["stanza-path"]
    size = stored.plain_size(len(sealed), path)
    cipher = stored.object_cipher(sealed[:56], path, *opened)
    plain = stored.open_chunks(cipher, sealed[:56], sealed[56:], 0, 0, path)
    stored.need(len(plain) == size and plain == vectors["stanza-object"], "the encrypted object holds something else")
    stored.need(json.loads(stored.metadata_body(plain, b"stza"))["id"] == 1, "the stanza entry is another one")
    print(f"{len(re.findall('(?m)^[a-z0-9-]+ = ', block_of_page(vectors)))} test vectors")
    return 0


if __name__ == "__main__":
    print(block_of_page(make()), end="")
