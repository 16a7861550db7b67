"""Scans texts as logs, without files."""

from collections.abc import Iterable

from cdk_pinsafe.logs.formats import as_lines
from cdk_pinsafe.logs.report import LogReport, build
from cdk_pinsafe.logs.scan import Scanner


def report_of(*texts: str | bytes) -> LogReport:
    """The report of these texts, each as one source."""
    scanner = scanned(*texts)
    return build(scanner, inputs=["test.log"], size=sum(map(len, texts)))


def scanned(*texts: str | bytes, block: int = 1 << 30) -> Scanner:
    """A scanner that has read these texts in blocks of this size."""
    scanner = Scanner()
    for text in texts:
        scanner.read(as_lines(iter(blocks(text, block))))
    scanner.finish()
    return scanner


def blocks(text: str | bytes, size: int) -> Iterable[bytes]:
    data = text.encode() if isinstance(text, str) else text
    return [data[at : at + size] for at in range(0, len(data), size)]
