"""The table of conditions: its own examples are the cases that the analysis must judge right."""

import subprocess
import sys

import pytest

from cdk_pinsafe.errors import UnknownNameError
from cdk_pinsafe.pinning.clients import REPORTS
from cdk_pinsafe.pinning.conditions import CONDITIONS, LIMITS, Condition, Limit, condition
from cdk_pinsafe.pinning.statements import analyse
from cdk_pinsafe.rds_proxy import STARTUP_PARAMETERS

PINNING = [pytest.param(one, sql, id=f"{one.id}-{sql[:60]}") for one in CONDITIONS for sql in one.pinning_examples]
SAFE = [pytest.param(sql, id=f"{one.id}-{sql[:60]}") for one in CONDITIONS for sql in one.safe_examples]


@pytest.mark.parametrize(("one", "sql"), PINNING)
def test_pinning_example_meets_its_condition_alone(one: Condition, sql: str) -> None:
    """A row's pinning example meets that row's condition, and no other."""
    analysis = analyse(sql)
    assert [finding.condition.id for finding in analysis.findings] == [one.id]
    assert not analysis.not_parsed
    assert analysis.statements == 1


@pytest.mark.parametrize("sql", SAFE)
def test_safe_example_meets_no_condition(sql: str) -> None:
    """What a row calls safe is not flagged."""
    analysis = analyse(sql)
    assert not analysis.findings
    assert not analysis.not_parsed


@pytest.mark.parametrize("one", [*LIMITS, REPORTS], ids=lambda one: one.id)
def test_limit_is_a_sentence_with_evidence_and_source(one: Limit) -> None:
    """What stands beside the table reads on from its title, and says how well it is known and from where."""
    assert one.title[0].isupper()
    assert one.text[0].islower()
    assert one.evidence
    assert one.source
    assert all(link.startswith("https://") for link in one.source)


def test_start_up_parameters_that_are_said_are_those_that_a_remedy_offers() -> None:
    """A SET of a parameter that the proxy takes at connect has that way out, too, and no other has it."""
    (said,) = (one.text for one in LIMITS if one.id == "startup-parameters")
    for name in (*STARTUP_PARAMETERS, "work_mem"):
        (finding,) = analyse(f"SET {name} = 1").findings
        assert ("when connecting" in finding.remedy) == (name in said)


def test_unknown_condition_is_answered_with_what_comes_near() -> None:
    """A misspelt id is an error that names the right one."""
    assert condition("set-local").title == "SET LOCAL"
    with pytest.raises(UnknownNameError, match="there is no condition 'set_local': did you mean set-local"):
        condition("set_local")


def test_tables_are_imported_without_the_parser() -> None:
    """The tables and the log reader cost no import of postgast or protobuf."""
    code = "import sys, cdk_pinsafe.pinning.clients, cdk_pinsafe.pinning.log_lines; print('google' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
