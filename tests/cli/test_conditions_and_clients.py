"""`pinsafe conditions` and `pinsafe clients`: complete, readable, and one JSON document for a program."""

import json
import re

import pytest
from click.testing import CliRunner, Result

from cdk_pinsafe.cli import main
from cdk_pinsafe.pinning.clients import CLIENTS, PARAMETER_STATUS_CAVEAT, Client
from cdk_pinsafe.pinning.conditions import CAVEATS, CONDITIONS, Caveat, Condition


def run(*arguments: str, columns: int = 100) -> Result:
    return CliRunner().invoke(main, arguments, env={"COLUMNS": str(columns)})


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_lists_name_every_row_with_its_evidence(columns: int) -> None:
    """No condition and no client is left out, none without its evidence, whatever the terminal's width."""
    for command, rows in (
        ("conditions", [(one.id, one.evidence) for one in CONDITIONS] + [(one.title, one.evidence) for one in CAVEATS]),
        (
            "clients",
            [(one.name, one.evidence) for one in CLIENTS]
            + [(PARAMETER_STATUS_CAVEAT.title, PARAMETER_STATUS_CAVEAT.evidence)],
        ),
    ):
        shown = run(command, columns=columns)
        assert shown.exit_code == 0
        assert max(map(len, shown.output.splitlines())) <= columns
        entries = [" ".join(entry.split()) for entry in shown.output.split("\n\n")]
        assert len(entries) == len(rows)
        for entry, (name, evidence) in zip(entries, rows, strict=True):
            assert entry.startswith(name)
            assert re.search(rf"\({', '.join(evidence)}[:)]", entry)


@pytest.mark.parametrize("one", CLIENTS, ids=lambda one: one.name)
def test_open_question_stands_on_the_pages_that_hang_on_it(one: Client) -> None:
    """What is not known of the proxy's reports is said of each client to which it matters, and of no other."""
    depends_on_parameter_status = one.name in ("Django", "Rails 8.2", "Sequelize", "psqlODBC", "psycopg2")
    shown = " ".join(run("clients", one.name).output.split())
    assert (PARAMETER_STATUS_CAVEAT.text in shown) == depends_on_parameter_status
    assert (f"({', '.join(PARAMETER_STATUS_CAVEAT.evidence)})" in shown) == depends_on_parameter_status
    assert (
        len(json.loads(run("clients", one.name, "--format", "json").output)["caveats"]) == depends_on_parameter_status
    )


@pytest.mark.parametrize("one", CONDITIONS, ids=lambda one: one.id)
def test_page_of_a_condition_is_whole(one: Condition) -> None:
    """A page has the remedy, the evidence, the sources and examples, and no statement of 16 KB."""
    shown = run("conditions", one.id, columns=400)
    assert shown.exit_code == 0
    assert len(shown.output) < 10_000
    for heading in ("pins", "safe", "instead", "evidence", "source", "SQL that pins", "SQL that does not"):
        assert f"\n{heading}  " in shown.output


@pytest.mark.parametrize(
    ("command", "rows", "caveats"),
    [("conditions", CONDITIONS, CAVEATS), ("clients", CLIENTS, (PARAMETER_STATUS_CAVEAT,))],
    ids=["conditions", "clients"],
)
def test_json_is_the_table(command: str, rows: tuple[object, ...], caveats: tuple[Caveat, ...]) -> None:
    """A program gets every field of every row, what stands beside the table, and one row alone where one is named."""
    document = json.loads(run(command, "--format", "json").output)
    assert len(document[command]) == len(rows)
    assert [one["id"] for one in document["caveats"]] == [one.id for one in caveats]
    row = document[command][0]
    name = row.get("id") or row["name"]
    assert json.loads(run(command, name, "--format", "json").output) == {command: [row], "caveats": []}


@pytest.mark.parametrize(("command", "near"), [("conditions", "set-local"), ("clients", "Sequelize")])
def test_unknown_name_is_a_usage_error(command: str, near: str) -> None:
    """A misspelt name has exit status 2 and names what comes near."""
    shown = run(command, f"{near}e")
    assert shown.exit_code == 2
    assert f"did you mean {near}" in shown.output
    assert "Traceback" not in shown.output
