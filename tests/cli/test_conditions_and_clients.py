"""``pinsafe conditions`` and ``pinsafe clients``."""

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
def test_lists_have_every_row_and_its_evidence(columns: int) -> None:
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
def test_caveat_is_shown_for_the_clients_concerned(one: Client) -> None:
    concerned = one.name in ("Django", "Rails 8.2", "Sequelize", "psqlODBC", "psycopg2")
    shown = " ".join(run("clients", one.name).output.split())
    assert (PARAMETER_STATUS_CAVEAT.text in shown) == concerned
    assert (f"({', '.join(PARAMETER_STATUS_CAVEAT.evidence)})" in shown) == concerned
    assert len(json.loads(run("clients", one.name, "--format", "json").output)["caveats"]) == concerned


@pytest.mark.parametrize("one", CONDITIONS, ids=lambda one: one.id)
def test_details_of_a_condition(one: Condition) -> None:
    """Without statements of 16 KB."""
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
def test_json_has_all_fields(command: str, rows: tuple[object, ...], caveats: tuple[Caveat, ...]) -> None:
    document = json.loads(run(command, "--format", "json").output)
    assert len(document[command]) == len(rows)
    assert [one["id"] for one in document["caveats"]] == [one.id for one in caveats]
    row = document[command][0]
    name = row.get("id") or row["name"]
    assert json.loads(run(command, name, "--format", "json").output) == {command: [row], "caveats": []}


@pytest.mark.parametrize(("command", "near"), [("conditions", "set-local"), ("clients", "Sequelize")])
def test_unknown_name_is_a_usage_error(command: str, near: str) -> None:
    shown = run(command, f"{near}e")
    assert shown.exit_code == 2
    assert f"did you mean {near}" in shown.output
    assert "Traceback" not in shown.output
