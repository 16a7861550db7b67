"""Every page of the documentation is executed: its Python, its commands, its links."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from cdk_pinsafe.cli import main

from .pages import README, ROOT, blocks, pages

PAGES = pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
SETUP = {
    "python3 -m venv .venv && .venv/bin/pip install -e '.[rehearsal]' && .venv/bin/pinsafe rehearse",
    "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/python -m pytest -n auto --dist worksteal",
    "pip install .",
}
"""Shell commands that `.ci/run` or tests/test_wheel.py runs."""
OFFLINE = ("settings", "conditions", "clients")
"""Commands whose output depends on nothing outside the package."""


@PAGES
def test_python_runs_from_top_to_bottom(path: Path) -> None:
    """The Python of a page runs in its order; an error that it shows is raised with exactly that message."""
    names: dict[str, object] = {}
    expected: str | None = None
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.kind == "python":
            exec(compile(block.text, str(path), "exec"), names)
        elif block.kind == "python raises":
            with pytest.raises(ValueError) as caught:  # noqa: PT011
                exec(compile(block.text, str(path), "exec"), names)
            expected = str(caught.value)
        elif block.kind == "text" and expected is not None:
            assert block.text.strip() == expected
            expected = None
    assert expected is None


@PAGES
def test_other_blocks_name_their_test(path: Path) -> None:
    """What this module does not run is tested where the comment above the block says."""
    error_is_next = False
    for block in blocks(path.read_text(encoding="utf-8")):
        is_error, error_is_next = error_is_next and block.kind == "text", block.kind == "python raises"
        if block.kind.startswith(("python", "{")) or is_error or offline(block.text):
            continue
        if block.kind == "sh" and set(block.text.splitlines()) <= SETUP:
            continue
        assert block.test is not None, f"no test is named for:\n{block.text}"
        named = (ROOT / block.test).read_text(encoding="utf-8")
        assert path.stem in named, f"{block.test} does not read {path.name}"


def offline(text: str) -> list[str] | None:
    """The arguments of a ``$ pinsafe …`` example that needs neither files nor a database."""
    match = re.match(r"\$ pinsafe ([^\n]*)\n", text)
    arguments = match[1].split() if match else []
    return arguments if arguments and arguments[0] in OFFLINE else None


@PAGES
def test_shown_output_is_real(path: Path) -> None:
    """What a page shows of an offline command is what the command prints."""
    for block in blocks(path.read_text(encoding="utf-8")):
        if arguments := offline(block.text):
            width = {"COLUMNS": "110"} if block.kind == "text" else {}
            shown = CliRunner().invoke(main, arguments, env=width)
            assert (shown.exit_code, f"$ pinsafe {' '.join(arguments)}\n{shown.output}") == (0, block.text)


@PAGES
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link and picture is a file of the repository, and every anchor is a heading of that file."""
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        file, _, anchor = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a Markdown file."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_option_is_documented(name: str) -> None:
    """Each command has a page, which explains each of its options."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages())
    assert f"pinsafe {name}" in text
    for parameter in main.commands[name].params:
        assert parameter.opts[0] in text


def test_readme_is_short() -> None:
    """Guides belong in docs/."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 250


def test_guides_are_all_linked() -> None:
    """The README's list of guides is complete."""
    linked = set(re.findall(r"\(docs/([\w-]+)\.md", README.read_text(encoding="utf-8")))
    assert linked == {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
