"""What the README shows of the knowledge is what the knowledge says."""

import pytest
from click.testing import CliRunner

from cdk_pinsafe.cli import main

from .readme import END, README, START, with_table


def test_table_of_conditions_is_rendered_from_the_knowledge() -> None:
    """No row of the README says anything else than the table of conditions."""
    readme = README.read_text(encoding="utf-8")
    assert readme.count(START) == readme.count(END) == 1
    assert with_table(readme) == readme, "run: python -m tests.pinning.readme"


@pytest.mark.parametrize("arguments", [["conditions", "set-local"], ["clients", "Sequelize"]], ids=" ".join)
def test_shown_output_is_real(arguments: list[str]) -> None:
    """Each page that the README shows is what the command prints."""
    shown = CliRunner().invoke(main, arguments, env={"COLUMNS": "110"})
    assert shown.exit_code == 0
    assert f"$ pinsafe {' '.join(arguments)}\n{shown.output}```" in README.read_text(encoding="utf-8")
