"""The lines of a Spark event log: plain, zstd or lz4, one file or a folder of rolled ones.

Memory is bounded by one chunk and the longest allowed line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from bench.errors import TelemetryError

CHUNK = 1 << 20
SALVAGE = 1 << 10  # piece in which the last readable bytes of a broken frame are taken
MAX_LINE = 128 << 20  # bytes; the longest lines of real logs are SQL plans of some MB
MAX_RATIO = 1000  # decompressed to compressed; real logs stay below 100
RATIO_FROM = 256 << 20  # decompressed bytes from which the ratio is judged

ZSTD = b"\x28\xb5\x2f\xfd"
LZ4_FRAME = b"\x04\x22\x4d\x18"
LZ4_BLOCK = b"LZ4Block"
_REFUSED = {".snappy": "snappy", ".lzf": "lzf", ".gz": "gzip"}
_HEADER = 21  # of an LZ4Block: magic 8, token 1, compressed 4, decompressed 4, checksum 4
_ROLLED = re.compile(r"events_(\d+)_(.+?)(\.compact)?$")


@dataclass
class Source:
    """The lines of a log; after reading, ``partial`` says why they are incomplete."""

    path: Path
    partial: list[str] = field(default_factory=list)
    whole_line: bool = True  # the last line ended with a line feed

    def lines(self) -> Iterator[bytes]:
        """Yield the lines without line feeds; TelemetryError if this is not an event log."""
        for path in self._files():
            yield from self._lines_of(path)

    def _files(self) -> list[Path]:
        if not self.path.exists():
            raise TelemetryError(f"{self.path.name} does not exist", remedy="give an event log")
        if self.path.is_dir():
            return self._rolled()
        if self.path.name.endswith(".inprogress"):
            self.partial.append("the application had not ended (.inprogress)")
        return [self.path]

    def _rolled(self) -> list[Path]:
        """Return the files of a rolling log in order; a compacted file replaces those before."""
        files: dict[int, Path] = {}
        compact = 0
        for path in self.path.iterdir():
            match = _ROLLED.match(path.name)
            if match is None:
                continue
            number = int(match[1])
            if match[3]:
                compact = max(compact, number)
            if match[3] or number not in files:
                files[number] = path
        numbers = sorted(number for number in files if number >= compact)
        if not numbers:
            raise TelemetryError(
                f"{self.path.name} holds no events_N_* file: not a rolling event log",
                remedy="give the folder eventlog_v2_* or one file",
            )
        if any(path.name.endswith(".inprogress") for path in self.path.glob("appstatus_*")):
            self.partial.append("the application had not ended (appstatus .inprogress)")
        missing = sorted(set(range(compact or 1, numbers[-1] + 1)) - set(numbers))
        if missing:
            self.partial.append(f"rolled files missing: {', '.join(map(str, missing))}")
        return [files[number] for number in numbers]

    def _lines_of(self, path: Path) -> Iterator[bytes]:
        rest: list[bytes] = []
        size = 0
        for chunk in self._chunks(path):
            first, *others = chunk.split(b"\n")
            rest.append(first)
            size += len(first)
            if size > MAX_LINE:
                raise TelemetryError(
                    f"{path.name} has a line longer than {MAX_LINE} bytes: not an event log",
                    remedy="give the file that Spark wrote",
                )
            if others:
                yield b"".join(rest)
                yield from others[:-1]
                rest = [others[-1]]
                size = len(others[-1])
        if size:
            self.whole_line = False
            yield b"".join(rest)
            self.whole_line = True

    def _chunks(self, path: Path) -> Iterator[bytes]:
        """Yield the file's decompressed bytes; note a broken end in ``partial``."""
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                magic = file.read(8)
        except OSError as error:
            raise TelemetryError(
                f"{path.name} cannot be read: {error.strerror}", remedy="fix its permissions"
            ) from error
        reader = _reader_of(path, magic)
        total = 0
        try:
            for chunk in reader(path):
                total += len(chunk)
                if total > RATIO_FROM and total > size * MAX_RATIO:
                    raise TelemetryError(
                        f"{path.name} decompresses to more than {MAX_RATIO} times its {size} bytes",
                        remedy="decompress it yourself if it is truly an event log",
                    )
                yield chunk
        except _BrokenStreamError as broken:
            self.partial.append(f"{path.name}: {broken}")


class _BrokenStreamError(Exception):
    """The compressed stream breaks before its end; the part before is valid."""


def _reader_of(path: Path, magic: bytes) -> Callable[[Path], Iterator[bytes]]:
    if magic.startswith(ZSTD):
        return lambda where: _arrow(where, "zstd")
    if magic.startswith(LZ4_FRAME):
        return lambda where: _arrow(where, "lz4")
    if magic == LZ4_BLOCK:
        return _lz4_blocks
    suffix = path.suffix
    if suffix in _REFUSED:
        raise TelemetryError(
            f"{path.name} is compressed with {_REFUSED[suffix]}: plain, zstd and lz4 are read",
            remedy="decompress it, or set spark.eventLog.compression.codec=zstd",
        )
    return _plain


def _plain(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _arrow(path: Path, codec: str) -> Iterator[bytes]:
    """Yield through pyarrow; read the part at a break again in small pieces.

    pyarrow drops the whole read that meets the break.
    """
    import pyarrow as pa

    done = 0
    try:
        with pa.CompressedInputStream(pa.OSFile(str(path)), codec) as stream:
            while chunk := stream.read(CHUNK):
                done += len(chunk)
                yield chunk
    except OSError as error:
        with pa.CompressedInputStream(pa.OSFile(str(path)), codec) as stream:
            yield from _salvaged(stream, done)
        raise _BrokenStreamError(f"{codec} stream broken off ({error})") from error


def _salvaged(stream: BinaryIO, done: int) -> Iterator[bytes]:
    try:
        while done:
            done -= len(stream.read(min(done, CHUNK)))
        while chunk := stream.read(SALVAGE):
            yield chunk
    except OSError:
        return  # the break itself, which the caller reports


def _lz4_blocks(path: Path) -> Iterator[bytes]:
    """Yield the blocks of the lz4-java stream that Spark's codec ``lz4`` writes.

    A block: "LZ4Block", a token (upper half 1: stored, 2: LZ4), the compressed and decompressed
    length and a checksum (little-endian), then the bytes; length 0 ends a stream, and another
    one may follow. Source: net.jpountz.lz4.LZ4BlockOutputStream of lz4-java. The checksum (a
    masked xxhash) is not checked: LZ4 itself notices lengths that do not fit.
    """
    import pyarrow as pa

    codec = pa.Codec("lz4_raw")
    with path.open("rb") as file:
        while header := file.read(_HEADER):
            if len(header) < _HEADER or header[:8] != LZ4_BLOCK:
                raise _BrokenStreamError("lz4 stream broken off inside a block's header")
            packed = int.from_bytes(header[9:13], "little")
            length = int.from_bytes(header[13:17], "little")
            if length > MAX_LINE or packed > MAX_LINE:
                raise _BrokenStreamError(
                    f"lz4 stream broken: a block of {max(packed, length)} bytes"
                )
            body = file.read(packed)
            if len(body) < packed:
                raise _BrokenStreamError("lz4 stream broken off inside a block")
            if not length:
                continue
            yield _unpacked(codec, header[8] & 0xF0, body, length)


def _unpacked(codec: object, method: int, body: bytes, length: int) -> bytes:
    if method == 0x10:
        return body
    try:
        unpacked: bytes = codec.decompress(body, length, asbytes=True)  # type: ignore[attr-defined]
    except OSError as error:
        raise _BrokenStreamError(f"lz4 stream broken ({error})") from error
    return unpacked
