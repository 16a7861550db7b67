"""The documentation's pages, as the tests read them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "README.md"
_BLOCK: Final = re.compile(
    r"(?:^<!-- tested by (?P<test>\S+) -->\n+)?^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced code block.

    Attributes:
        kind: the info string behind the opening fence, such as ``python`` or ``console``.
        text: the lines between the fences.
        test: path of the test file that the comment above the block names; None without a comment.
    """

    kind: str
    text: str
    test: str | None


def path(name: str) -> Path:
    """The file of a page: ``lint`` is ``docs/lint.md``."""
    return ROOT / "docs" / f"{name}.md"


def page(name: str) -> str:
    """The text of a page of ``docs/``."""
    return path(name).read_text(encoding="utf-8")


def pages() -> Sequence[Path]:
    """All Markdown files that users read, but for the changelog."""
    return [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(text: str) -> Sequence[Block]:
    """The fenced code blocks of a Markdown text, in order."""
    return [Block(match["kind"], match["text"], match["test"]) for match in _BLOCK.finditer(text)]


def replace_between(text: str, start: str, end: str, content: str) -> str:
    """The text with what stands between the two marker lines replaced."""
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{content}\n{end}{after}"
