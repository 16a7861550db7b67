"""Everything in the README is executed."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdk_pinsafe.cdk.validation.rules import RULES

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")


def blocks() -> Iterator[tuple[str, str]]:
    for match in re.finditer(r"^```([^\n]*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        yield match[1], match[2]


def test_python_runs_from_top_to_bottom() -> None:
    """The Python in the README runs in its order, and what it shows as an error is that error to the letter."""
    names: dict[str, object] = {}
    expected: str | None = None
    ran = 0
    for kind, code in blocks():
        if kind == "python":
            exec(compile(code, str(README), "exec"), names)
            ran += 1
        elif kind == "python raises":
            with pytest.raises(ValueError) as caught:  # noqa: PT011
                exec(compile(code, str(README), "exec"), names)
            expected = str(caught.value)
        elif kind == "text" and expected is not None:
            assert code.strip() == expected
            expected = None
            ran += 1
    kinds = [kind for kind, _ in blocks()]
    assert ran == kinds.count("python") + kinds.count("python raises") > 1
    assert expected is None


def test_table_of_rules_is_that_of_the_plugin() -> None:
    """Each rule of PinSafeChecks stands in the README as its code has it, in its order."""
    rows = [
        f"| `{rule.id}` | {rule.severity} | {rule.finds} | {rule.why} | {rule.instead} | {rule.evidence} |"
        for rule in RULES
    ]
    _, _, table = TEXT.partition("| Rule | | Finds | Why it is bad | Instead | Known |\n")
    assert table.partition("\n\n")[0].splitlines()[1:] == rows


def test_links_into_the_repository_lead_somewhere() -> None:
    """Every relative link and picture is a file of the repository, or a heading of the page."""
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", TEXT) if "://" not in target]
    assert targets
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert [t for t in targets if t not in anchors and not (README.parent / t).exists()] == []


def test_commands_are_the_ones_that_ci_runs() -> None:
    """The shell commands are the two that set up and run, and the installation."""
    commands = [code.strip() for kind, code in blocks() if kind == "sh"]
    assert commands == [
        "python3 -m venv .venv && .venv/bin/pip install -e '.[rehearsal]' && .venv/bin/pinsafe rehearse",
        "pip install .",
        "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/python -m pytest",
    ]
