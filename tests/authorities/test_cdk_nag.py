"""cdk-nag's four packs find nothing on the library's constructs that is not acknowledged or the user's to decide."""

import inspect
import re
from collections.abc import Mapping

import pytest

import cdk_pinsafe

from ..docs.pages import page
from .apps import APPS, PROPS
from .synthesis import Synthesized
from .tables import (
    ACKNOWLEDGED_END,
    ACKNOWLEDGED_START,
    DECISIONS,
    DECISIONS_END,
    DECISIONS_START,
    PAGE,
    SHORT,
    of_library,
    open_findings,
    with_tables,
)

RULES = {rule for decision in DECISIONS for rule in decision.rules}
# What the apps have beside the library's constructs stands for what a team has already.
OF_THE_APP = re.compile(
    r"(Data|[a-z-]+)/(Vpc|Database|Instance)/.*"
    r"|Cluster/(Vpc|Cluster|Key)/.*"
    r"|(NewDatabase|ImportedDatabase|ManyDatabases)/(Vpc|Key|LogKey|Topic|Client|ClientSecret|App|Cursors)/.*"
    r"|log-on-alarm/Alarm/.*"
)


def test_findings_are_decisions(synthesized: Mapping[str, Synthesized]) -> None:
    """The page lists every finding, and only what is found."""
    assert {finding.rule for finding in of_library(synthesized)} == RULES


def test_no_rule_throws(synthesized: Mapping[str, Synthesized]) -> None:
    """On anything that an app or the library makes, without an acknowledgment."""
    assert [one for app in synthesized.values() for one in open_findings(app) if one.threw] == []


@pytest.mark.parametrize("name", APPS)
def test_other_findings_are_on_parts_of_the_app(name: str, synthesized: Mapping[str, Synthesized]) -> None:
    app = synthesized[name]
    others = [one for one in open_findings(app) if one.rule not in RULES and not app.is_of_library(one.path)]
    assert [one for one in others if not OF_THE_APP.fullmatch(one.path)] == []


def test_packs_ran(synthesized: Mapping[str, Synthesized]) -> None:
    """The tests above can fail: each pack finds something in each app."""
    for app in synthesized.values():
        assert {finding.pack for finding in app.findings} == set(SHORT)


def test_page_is_of_today(synthesized: Mapping[str, Synthesized]) -> None:
    text = page(PAGE)
    for mark in (ACKNOWLEDGED_START, ACKNOWLEDGED_END, DECISIONS_START, DECISIONS_END):
        assert text.count(mark) == 1
    assert with_tables(text, synthesized) == text, "run: CDK_VALIDATION=false python -m tests.authorities.tables"


@pytest.mark.parametrize("construct", ["DatabaseSettings", "PinSafePostgres", "PinSafeProxy", "PinningAlarms"])
def test_apps_use_every_prop(construct: str, synthesized: Mapping[str, Synthesized]) -> None:
    """A new prop is given in one of the apps."""
    # RDS refuses it for PostgreSQL, and so does the construct.
    refused = {"session_pinning_filters"} if construct == "PinSafeProxy" else set()
    props = set(inspect.signature(getattr(cdk_pinsafe, construct).__init__).parameters) - {"self", "scope", "id"}
    assert PROPS[construct] == props - refused
