"""What docs/repository-format.md says of stored bytes (sections 3 to 12), as functions. Shares no line with pgstrata."""

import hashlib
import json
import os
import re
import zlib

import blake3
import lz4.frame
import zstandard
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MIB = 1 << 20
CHUNK = 1 << 16


class Bad(Exception):
    """The repository breaks a rule of the format, or cannot be used."""


def need(condition, what):
    if not condition:
        raise Bad(what)


# --- section 12: encryption -------------------------------------------------------------------------------------------


def wrapping_key(passphrase, salt, memory_kib, passes, lanes):
    bounded = memory_kib <= 1048576 and passes <= 64 and lanes <= 64 and memory_kib * passes <= 4194304
    need(bounded, "the key derivation costs too much")
    return hash_secret_raw(passphrase, salt, passes, memory_kib, lanes, 32, Type.ID, 0x13)


def unwrap(key_object, passphrase):
    """The id of the data key and the data key; None where the pass phrase is not the one of this recipient."""
    body = metadata_body(key_object, b"key ")
    length = int.from_bytes(body[:4], "little")
    facts = json.loads(body[4 : 4 + length])
    rest = body[4 + length :]
    need(len(rest) == 60 and facts["cipher"] == "aes-256-gcm" and facts["kdf"] == "argon2id", "unknown kind of key object")
    salt = bytes.fromhex(facts["salt"])
    key = wrapping_key(passphrase, salt, facts["memory-kib"], facts["passes"], facts["lanes"])
    try:
        data_key = AESGCM(key).decrypt(rest[:12], rest[12:], key_object[: 16 + 4 + length])
    except InvalidTag:
        return None
    return bytes.fromhex(facts["data-key"]), data_key


def object_cipher(header, path, key_id, data_key):
    need(header[:8] == b"pgstratc", f"{path}: is not encrypted, but the repository is")
    need(header[8:10] == b"\x01\x00" and header[10] == 16 and header[11:16] == bytes(5), f"{path}: unknown encryption")
    need(header[16:24] == key_id, f"{path}: encrypted with another data key")
    info = b"pgstrata object" + header[8:10] + path.encode()
    return AESGCM(HKDF(SHA256(), 32, header[24:56], info).derive(data_key))


def plain_size(stored, path):
    """The plain size that an encrypted object of so many bytes has."""
    chunks = max(1, -(-(stored - 56) // (CHUNK + 16)))
    plain = stored - 56 - 16 * chunks
    need(plain >= 0 and chunks == max(1, -(-plain // CHUNK)), f"{path}: no encrypted object has this size")
    return plain


def open_chunks(cipher, header, sealed, first, last_of_object, path):
    """The plain bytes of whole chunks, the first of which has the number `first`."""
    plain = bytearray()
    step = CHUNK + 16
    for number, at in enumerate(range(0, len(sealed), step), first):
        nonce = number.to_bytes(11, "big") + bytes([number == last_of_object])
        try:
            plain += cipher.decrypt(nonce, sealed[at : at + step], header)
        except InvalidTag:
            raise Bad(f"{path}: chunk {number} does not match its tag") from None
    return bytes(plain)


# --- sections 3 to 5: objects -----------------------------------------------------------------------------------------


class Repository:
    """The objects of a repository in a directory, decrypted."""

    def __init__(self, root, passphrase=None):
        self.root = root
        recipients = [name for name in self.list("key") if re.fullmatch("[0-9a-f]{16}", name)]
        self.key = None
        if recipients:
            need(passphrase, "the repository is encrypted: a pass phrase is needed")
            opened = (unwrap(self.stored(f"key/{name}"), passphrase) for name in recipients)
            self.key = next(filter(None, opened), None)
            need(self.key, "the pass phrase opens no key object")

    def file(self, path):
        place = self.root
        for name in path.split("/"):
            place = os.path.join(place, name)
            need(not os.path.islink(place), f"{path}: a symbolic link in the repository")
        return place

    def list(self, path):
        place = self.file(path)
        names = os.listdir(place) if os.path.lexists(place) else []
        return sorted(name for name in names if not name.startswith(".tmp-"))

    def exists(self, path):
        return os.path.lexists(self.file(path))

    def stored(self, path, offset=0, length=-1):
        with open(self.file(path), "rb") as file:
            file.seek(offset)
            return file.read(length)

    def read(self, path):
        if not self.key:
            return self.stored(path)
        return self.range(path, 0, plain_size(os.path.getsize(self.file(path)), path))

    def range(self, path, offset, length):
        """`length` plain bytes from `offset` on."""
        if self.key:
            plain = self.decrypted(path, offset, length)
        else:
            plain = self.stored(path, offset, length)
        need(len(plain) == length, f"{path}: shorter than what is recorded of it")
        return plain

    def decrypted(self, path, offset, length):
        size = plain_size(os.path.getsize(self.file(path)), path)
        header = self.stored(path, 0, 56)
        cipher = object_cipher(header, path, *self.key)
        first, last = offset // CHUNK, max(offset, offset + length - 1) // CHUNK
        sealed = self.stored(path, 56 + first * (CHUNK + 16), (last - first + 1) * (CHUNK + 16))
        plain = open_chunks(cipher, header, sealed, first, max(0, size - 1) // CHUNK, path)
        return plain[offset - first * CHUNK :][:length]

    def metadata(self, path, kind):
        return json.loads(metadata_body(self.read(path), kind, path))

    def recorded(self, path, record):
        """An object of which another one has recorded size and SHA-256."""
        data = self.read(path)
        whole = len(data) == record["size"] and hashlib.sha256(data).hexdigest() == record["sha256"]
        need(whole, f"{path}: is not the object that was recorded")
        return data


COMPRESSION = ["none", "zst", "lz4", "gz"]


def object_header(data, kind, path="object"):
    """Checks the header; the compression that it names."""
    need(len(data) >= 16 and data[:8] == b"pgstrata", f"{path}: another magic")
    need(data[8:12] == kind, f"{path}: kind {data[8:12]} and not {kind}")
    need(data[12:14] == b"\x01\x00" and data[14] < 4 and data[15] == 0, f"{path}: a header of another version")
    return COMPRESSION[data[14]]


def metadata_body(data, kind, path="object"):
    object_header(data, kind, path)
    need(len(data) >= 48 and hashlib.sha256(data[:-32]).digest() == data[-32:], f"{path}: damaged")
    return data[16:-32]


# --- section 7: frames ------------------------------------------------------------------------------------------------


def decoder_of(compression):
    if compression == "zst":
        return zstandard.ZstdDecompressor(max_window_size=8 * MIB).decompressobj()
    return lz4.frame.LZ4FrameDecompressor() if compression == "lz4" else zlib.decompressobj(wbits=31)


def next_frame(compression, stored, what):
    """The raw bytes of the frame in front, and what follows it."""
    decoder = decoder_of(compression)
    try:
        raw = decoder.decompress(stored)
    except (zstandard.ZstdError, RuntimeError, zlib.error) as error:
        raise Bad(f"{what}: {error}") from None
    need(decoder.eof, f"{what}: a frame is cut off")
    return raw, decoder.unused_data or b""


def decompress_frame(compression, stored, raw_length, what):
    """Exactly one frame of a known raw length."""
    if compression == "none":
        raw, rest = stored, b""
    else:
        if compression == "zst":
            need(zstandard.frame_content_size(stored) == raw_length, f"{what}: another content size")
        raw, rest = next_frame(compression, stored, what)
    need(len(raw) == raw_length and not rest, f"{what}: another length")
    return raw


# --- section 8: block maps --------------------------------------------------------------------------------------------


class Reader:
    """Takes varints off bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def varint(self):
        value = shift = 0
        while True:
            need(self.at < len(self.data) and shift < 64, "a block map is cut off")
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                need(value < 1 << 64, "a number in a block map is too large")
                return value

    def count(self, bytes_each, blocks):
        count = self.varint()
        need(count <= min(blocks, (len(self.data) - self.at) // bytes_each), "a count in a block map is too large")
        return count

    def frames(self, own, references, blocks):
        """The frames, with the reader's numbers for their backups: `own` for the holder of the map."""
        frames = []
        for _ in range(self.count(5, blocks)):
            reference, bundle, offset, stored, raw = (self.varint() for _ in range(5))
            need(reference <= references and stored <= 2 * MIB and raw <= MIB, "a frame in a block map is out of bounds")
            frames.append((reference or own, bundle, offset, stored, raw))
        return frames

    def digests(self, count):
        rest = self.data[self.at :]
        need(len(rest) == 10 * count, "a block map has another number of digests")
        return [rest[at : at + 10] for at in range(0, len(rest), 10)]


def pick(frames, number):
    need(number < len(frames), "a run names a frame that is not in its map")
    return frames[number]


def decode_map(data, size, block, own, references):
    """For each block of the file: its frame, the raw offset in it, its digest."""
    reader, count = Reader(data), -(-size // block)
    frames = reader.frames(own, references, count)
    places = []
    for _ in range(reader.count(3, count)):
        frame, raw_offset, run = pick(frames, reader.varint()), reader.varint(), reader.varint()
        places += run_places(frame, raw_offset, run, size, block, len(places))
    need(len(places) == count, "the runs of a block map do not cover the file")
    return [place + (digest,) for place, digest in zip(places, reader.digests(len(places)))]


def run_places(frame, raw_offset, count, size, block, first):
    need(1 <= count <= -(-size // block) - first, "a run does not fit its file")
    end = min(size, (first + count) * block) - first * block
    need(raw_offset + end <= frame[4], "a run does not fit its frame")
    return [(frame, raw_offset + n * block) for n in range(count)]


def apply_patch(data, base, base_size, size, block, own, references):
    reader = Reader(data)
    frames = reader.frames(own, references, -(-size // block))
    # A short last block of the base is used only where both files have the same size.
    usable = base if base_size == size else base[: base_size // block]
    blocks, own_blocks = [], []

    def of_base(count):
        need(count == 0 or len(blocks) + count <= len(usable), "a patch asks its base for blocks that it does not have")
        blocks.extend(usable[len(blocks) : len(blocks) + count])

    for _ in range(reader.count(4, -(-size // block))):
        of_base(reader.varint())
        frame, raw_offset, count = pick(frames, reader.varint()), reader.varint(), reader.varint()
        places = run_places(frame, raw_offset, count, size, block, len(blocks))
        own_blocks += range(len(blocks), len(blocks) + count)
        blocks += places
    of_base(-(-size // block) - len(blocks))
    for number, digest in zip(own_blocks, reader.digests(len(own_blocks))):
        blocks[number] += (digest,)
    return blocks


def block_digest(key, data):
    return blake3.blake3(data, key=key).digest(length=10)


# --- sections 10 and 15: WAL ------------------------------------------------------------------------------------------


def find_wal(repository, directory, name):
    """The object of a file of the archive; None where a listing proves that there is none."""
    below = f"{directory}/{name[:16]}" if re.match("[0-9A-F]{24}", name) else directory
    form = re.compile(re.escape(name) + r"-([0-9a-f]{64})(\.(zst|lz4|gz))?")
    objects = [match for match in map(form.fullmatch, repository.list(below)) if match]
    need(len({match[1] for match in objects}) <= 1, f"{name}: two objects with different content")
    return (f"{below}/{objects[0][0]}", objects[0][1]) if objects else None


def read_wal(repository, path, digest):
    data = repository.read(path)
    compression = object_header(data, b"wal ", path)
    size, rest = int.from_bytes(data[16:24], "little"), data[24:]
    need(len(data) >= 24 and size <= 1 << 30, f"{path}: too large, or cut off")
    raw = bytearray()
    while rest:
        if compression == "none":
            raw, rest = rest, b""
        else:
            piece, rest = next_frame(compression, rest, path)
            raw += piece
        need(len(raw) <= size, f"{path}: holds more than it says")
    need(len(raw) == size and hashlib.sha256(raw).hexdigest() == digest, f"{path}: damaged")
    return bytes(raw)


def lsn(text):
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def segments_needed(repository, archive, manifest):
    """The names of the segments without which the backup cannot become consistent."""
    size, wal = manifest["cluster"]["wal-segment-size"], manifest["wal"]
    per_name = (1 << 32) // size
    first, last = lsn(wal["start"]["lsn"]) // size, (lsn(wal["stop"]["lsn"]) - 1) // size
    left = [(wal["stop"]["timeline"], None)]
    if wal["start"]["timeline"] != wal["stop"]["timeline"]:
        name = f"{wal['stop']['timeline']:08X}.history"
        found = find_wal(repository, archive, name)
        need(found, f"{name} is not in the archive")
        lines = [line.split() for line in read_wal(repository, *found).decode().splitlines()]
        left = [(int(f[0]), lsn(f[1])) for f in lines if f and not f[0].startswith("#")] + left
    for number in range(first, last + 1):
        timeline = next(t for t, end in left if end is None or number < end // size)
        yield f"{timeline:08X}{number // per_name:08X}{number % per_name:08X}"
