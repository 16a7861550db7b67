"""The table of conditions, and its examples."""

import subprocess
import sys

import pytest

from cdk_pinsafe.errors import UnknownNameError
from cdk_pinsafe.pinning.clients import PARAMETER_STATUS_CAVEAT
from cdk_pinsafe.pinning.conditions import CAVEATS, CONDITIONS, Caveat, Condition, condition
from cdk_pinsafe.pinning.statements import analyse
from cdk_pinsafe.rds_proxy import STARTUP_PARAMETERS

PINNING = [pytest.param(one, sql, id=f"{one.id}-{sql[:60]}") for one in CONDITIONS for sql in one.pinning_examples]
SAFE = [pytest.param(sql, id=f"{one.id}-{sql[:60]}") for one in CONDITIONS for sql in one.safe_examples]


@pytest.mark.parametrize(("one", "sql"), PINNING)
def test_pinning_example_meets_its_condition_alone(one: Condition, sql: str) -> None:
    analysis = analyse(sql)
    assert [finding.condition.id for finding in analysis.findings] == [one.id]
    assert not analysis.not_parsed
    assert analysis.statements == 1


@pytest.mark.parametrize("sql", SAFE)
def test_safe_example_meets_no_condition(sql: str) -> None:
    analysis = analyse(sql)
    assert not analysis.findings
    assert not analysis.not_parsed


@pytest.mark.parametrize("one", [*CAVEATS, PARAMETER_STATUS_CAVEAT], ids=lambda one: one.id)
def test_caveat_is_complete(one: Caveat) -> None:
    """Its text continues the title."""
    assert one.title[0].isupper()
    assert one.text[0].islower()
    assert one.evidence
    assert one.source
    assert all(link.startswith("https://") for link in one.source)


def test_start_up_parameters_have_a_remedy() -> None:
    """The remedy of a SET offers the start-up parameter, for no other parameter."""
    (said,) = (one.text for one in CAVEATS if one.id == "startup-parameters")
    for name in (*STARTUP_PARAMETERS, "work_mem"):
        (finding,) = analyse(f"SET {name} = 1").findings
        assert ("when connecting" in finding.remedy) == (name in said)


def test_unknown_condition() -> None:
    """The error names a similar one."""
    assert condition("set-local").title == "SET LOCAL"
    with pytest.raises(UnknownNameError, match="there is no condition 'set_local': did you mean set-local"):
        condition("set_local")


def test_tables_are_imported_without_the_parser() -> None:
    """Nor the log reader."""
    code = "import sys, cdk_pinsafe.pinning.clients, cdk_pinsafe.pinning.log_lines; print('google' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
