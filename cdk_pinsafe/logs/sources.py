"""Reads files, folders, gzip and standard input as blocks of bytes. Knows nothing of lines.

A file that cannot be opened is an error before anything is read. An error while reading (a truncated gzip file, a
failing disk) ends that source with a note; the data before it counts.
"""

import contextlib
import errno
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from ..errors import LogsError

__all__ = ["Source", "find_sources"]

BLOCK: Final = 1024 * 1024
"""Bytes to read at once: with less, the cost per block is noticeable; more does not fit into the processor's caches."""
STDIN: Final = "-"
_GZIP: Final = b"\x1f\x8b"


@dataclass
class Source:
    """One input.

    Attributes:
        name: As the user writes it.
        path: The file; None is standard input.
        size: Bytes on disk, for progress; None if not known.
        notes: Problems while reading, a line each.
    """

    name: str
    path: Path | None
    size: int | None = None
    notes: list[str] = field(default_factory=list)

    def blocks(self, on_read: Callable[[int], object] = lambda _: None) -> Iterator[bytes]:
        """The text, decompressed if it is gzip.

        Args:
            on_read: called after each read with the number of bytes on disk.
        """
        try:
            with self._open() as file:
                raw = _raw_blocks(file, on_read)
                first = next(raw, b"")
                yield from self._inflated(first, raw) if first.startswith(_GZIP) else _chain(first, raw)
        except OSError as error:
            self.notes.append(f"{self.name} could not be read further: {error.strerror or error}")

    def _open(self) -> contextlib.AbstractContextManager[BinaryIO]:
        if self.path is None:
            return contextlib.nullcontext(sys.stdin.buffer)
        return self.path.open("rb", buffering=0)

    def _inflated(self, first: bytes, raw: Iterator[bytes]) -> Iterator[bytes]:
        """Decompress all members of a gzip file: `cat a.gz b.gz` makes a file of two."""
        inflator = zlib.decompressobj(wbits=31)
        try:
            for data in _chain(first, raw):
                while data:
                    if inflator.eof:
                        if not data.startswith(_GZIP):  # padding, which gzip ignores
                            return
                        inflator = zlib.decompressobj(wbits=31)
                    yield inflator.decompress(data, BLOCK)
                    data = inflator.unconsumed_tail or inflator.unused_data
        except zlib.error as error:
            self.notes.append(f"{self.name} is damaged, and was read up to the damage: {error}")
            return
        if not inflator.eof:
            self.notes.append(f"{self.name} is truncated: its gzip stream has no end")


def find_sources(names: tuple[str, ...]) -> list[Source]:
    """The sources of these names in order: files, `-` for standard input, and folders for all files in them.

    Raises:
        LogsError: one is missing, cannot be opened, or is a folder without files.
    """
    sources: list[Source] = []
    for name in names:
        if name == STDIN:
            if any(source.path is None for source in sources):
                raise LogsError("standard input was named twice ('-'): name it once")
            sources.append(Source("standard input", None))
            continue
        path = Path(name)
        found = sorted(_files_below(path)) if path.is_dir() else [path]
        if not found:
            raise LogsError(f"folder {name!r} has no files: name a log file, or a folder of an export with its files")
        sources += [_openable(one) for one in found]
    return sources


def _files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _openable(path: Path) -> Source:
    try:
        size = path.stat().st_size if path.is_file() else None
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        if not os.access(path, os.R_OK):  # does not open it: a pipe (`<(zcat …)`) can be opened only once
            raise PermissionError(errno.EACCES, "Permission denied")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LogsError(f"cannot read {str(path)!r}: {reason}: name a readable file") from None
    return Source(str(path), path, size)


def _raw_blocks(file: BinaryIO, on_read: Callable[[int], object]) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        on_read(len(block))
        yield block


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
