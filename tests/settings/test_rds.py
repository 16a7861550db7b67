"""Parameters that RDS denies its master user."""

import pytest

from cdk_pinsafe.settings.catalogue import MAJORS, find, names, rds_denies
from cdk_pinsafe.settings.catalogue.rds import ALLOWED, DENIED_ON_RDS, IN_PARAMETER_GROUPS

SUPERUSER = {name for major in MAJORS for name in names(major) if find(name, major).context == "superuser"}  # type: ignore[union-attr]


def test_parameters_for_superusers_are_denied() -> None:
    """All except the documented one."""
    assert len(SUPERUSER) == 66
    known = {name for major in MAJORS for name in names(major)}
    assert {name for name in known if rds_denies(name)} == SUPERUSER - {"session_replication_role"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("log_min_messages", "denied on RDS 17.2, https://github.com/supabase/realtime/issues/1326): put it in a par"),
        ("LC_Messages", "denied on RDS in 2016"),
        ("track_functions", "is none: put it in a parameter group"),
        ("zero_damaged_pages", "if the engine version's parameter group has it"),
        ("session_preload_libraries", "add the library to shared_preload_libraries in a parameter group"),
        ("app.jwt_secret", "PostgREST/postgrest/issues/755): keep the value in a table"),
    ],
)
def test_reason_has_evidence_and_remedy(name: str, words: str) -> None:
    assert words in (rds_denies(name) or "")


@pytest.mark.parametrize(
    "name",
    ["statement_timeout", "hnsw.ef_search", "pgaudit.log", "session_replication_role", "pg_hint_plan.debug_print"],
)
def test_other_names_are_not_denied(name: str) -> None:
    assert rds_denies(name) is None


def test_evidence_is_about_parameters_for_superusers() -> None:
    """A name that is misspelled, or no longer for superusers, would say nothing; pgaudit's were not measured."""
    assert IN_PARAMETER_GROUPS <= SUPERUSER
    assert set(DENIED_ON_RDS) <= SUPERUSER
    assert set(ALLOWED) - {"pgaudit.log"} <= SUPERUSER
    assert not set(ALLOWED) & set(DENIED_ON_RDS)
