"""The scheduled drift check: counts what drifted, logs the metrics, repairs only on request."""

import json
import socket
import time
from typing import Any

import pytest

from cdk_pinsafe.applier import drift_check
from cdk_pinsafe.applier.handler import on_event

from .harness import Database, FakeSecretsManager, LambdaContext
from .test_batch import fleet_of

NAME = "Chat/Database/Settings (stack Chat)"
DESIRED = {"work_mem": "8MB", "jit": "off"}


def check(database: Database, *, repair: bool = False, **changes: object) -> dict[str, Any]:
    """Send the event of the schedule."""
    given = database.properties({}, **{"Settings": None, **changes})
    return on_event(
        {
            "RequestType": "DriftCheck",
            "Name": NAME,
            "Repair": repair,
            "Settings": [{"name": name, "role": ""} for name in DESIRED],
            "ResourceProperties": given,
        },
        LambdaContext(),
    )


def counts(drifted: int = 0, overridden: int = 0, repaired: int = 0, unchecked: int = 0) -> dict[str, int]:
    return {"Drifted": drifted, "OverriddenByRole": overridden, "Repaired": repaired, "Unchecked": unchecked}


def test_drift_is_counted_and_published(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """The log has the metrics in the embedded metric format, and the names, but no value. Nothing is changed."""
    database.create(DESIRED)
    assert check(database) == counts()
    database.alter("SET work_mem = '5432kB'")
    before = database.stored(), database.ledger()
    capsys.readouterr()
    assert check(database) == counts(drifted=1)
    assert (database.stored(), database.ledger()) == before
    output = capsys.readouterr().out
    assert "5432kB" not in output
    lines = [json.loads(line) for line in output.splitlines()]
    [metrics] = [line for line in lines if line["event"] == "metrics"]
    [described] = metrics["_aws"]["CloudWatchMetrics"]
    assert described["Namespace"] == "cdk-pinsafe"
    assert described["Dimensions"] == [["DatabaseSettings"]]
    assert metrics["DatabaseSettings"] == NAME
    assert {metric["Name"]: metrics[metric["Name"]] for metric in described["Metrics"]} == counts(drifted=1)
    assert [line["names"] for line in lines if line["event"] == "drifted"] == [["work_mem"]]


def test_repair_sets_again_what_the_ledger_has(database: Database) -> None:
    """Settings of other constructs are kept."""
    database.create(DESIRED)
    database.create({"lock_timeout": "1s"}, Owner="Other/Settings", Address="c8ffff")
    ledger = database.ledger()
    database.alter("SET work_mem = '5MB'")
    database.alter("RESET jit")
    database.alter("SET lock_timeout = '9s'")
    assert check(database, repair=True) == counts(drifted=2, repaired=2)
    assert database.stored() == {**DESIRED, "lock_timeout": "9s"}
    assert database.ledger() == ledger
    assert check(database, repair=True) == counts()


def test_drift_that_cannot_be_repaired_is_counted(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """The alarm must not end because the repair fails."""
    database.create(DESIRED)
    database.alter("SET work_mem = '5MB'")
    database.admin.run(f"ALTER DATABASE {database.name} OWNER TO postgres")
    assert check(database, repair=True) == counts(drifted=1)
    assert '"level": "ERROR", "event": "not_repaired", "kind": "ApplyError"' in capsys.readouterr().out


def test_missing_ledger_is_drift_without_repair(database: Database) -> None:
    """Without a ledger the desired values are not known."""
    database.create(DESIRED)
    database.run_sql("DROP SCHEMA cdk_pinsafe CASCADE")
    database.alter("SET work_mem = '5MB'")
    assert check(database, repair=True) == counts(drifted=2)
    assert database.stored() == {"work_mem": "5MB", "jit": "off"}


def test_unresponsive_database_is_given_up_early(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted, and the next scheduled check retries."""
    monkeypatch.setattr(drift_check, "_TIMEOUT", 0.5)
    start = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert check(database, Port=str(silent.getsockname()[1])) == counts(unchecked=1)
    assert time.monotonic() - start < 5


def test_role_overrides_are_counted_by_setting(database: Database) -> None:
    """They are not drift."""
    role = f"role_of_{database.name}"
    database.create(DESIRED)
    database.run_sql(f"CREATE ROLE {role}", f"ALTER ROLE {role} SET jit = on")
    try:
        assert check(database, repair=True) == counts(overridden=1)
    finally:
        database.admin.run(f"DROP ROLE {role}")


def test_login_trigger_override_is_drift(database: Database) -> None:
    """The value is stored, and no session gets it."""
    if database.cluster.major < 17:
        pytest.skip("login triggers came with 17")
    database.create(DESIRED)
    database.rows(
        "CREATE FUNCTION public.on_login() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_catalog.set_config('jit', 'on', false); END $$; "
        "CREATE EVENT TRIGGER on_login ON login EXECUTE FUNCTION public.on_login()"
    )
    assert check(database) == counts(drifted=1)


def test_unchecked_databases_are_counted(database: Database, secrets_manager: FakeSecretsManager) -> None:
    """A failure in one database neither hides the others nor fails the function."""
    with fleet_of(database, secrets_manager, 3) as fleet:
        fleet.create(DESIRED)
        fleet.databases[0].alter("SET work_mem = '5MB'")
        fleet.databases[2].alter("RESET jit")
        names = [*fleet.names, "nosuch"]
        assert check(database, Database=None, Databases=names) == counts(drifted=2, unchecked=1)
        assert check(database, repair=True, Database=None, Databases=names) == counts(2, 0, 2, 1)
        assert fleet.stored() == [DESIRED] * 3


def test_repair_skips_a_replaced_resource(database: Database, secrets_manager: FakeSecretsManager) -> None:
    """The schedule is updated after the resource. Settings repaired under the old id would be lost with the old
    resource."""
    with fleet_of(database, secrets_manager, 2) as fleet:
        fleet.databases[0].create(DESIRED)
        single = {"Database": fleet.names[0], "Databases": None}
        fleet.update(DESIRED, DESIRED, id=fleet.databases[0].physical_id, was=single)
        ledgers = fleet.ledgers()
        fleet.databases[0].alter("SET work_mem = '5MB'")
        assert check(fleet.databases[0], repair=True) == counts(drifted=1)
        assert fleet.ledgers() == ledgers
        fleet.databases[0].delete(DESIRED)
        assert fleet.stored() == [{**DESIRED, "work_mem": "5MB"}, DESIRED]


def test_deployment_is_a_first_check(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """It publishes that no database is unchecked, if there is a schedule; a removal does not."""

    def published() -> list[object]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [{key: line[key] for key in ("DatabaseSettings", "Unchecked")} for line in lines if "_aws" in line]

    database.create(DESIRED)
    assert published() == []
    event = {"RequestType": "Create", "ResourceProperties": database.properties(DESIRED, DriftCheck=NAME)}
    created = on_event(event, LambdaContext())
    assert published() == [{"DatabaseSettings": NAME, "Unchecked": 0}]
    on_event({**event, "RequestType": "Delete", "PhysicalResourceId": created["PhysicalResourceId"]}, LambdaContext())
    assert published() == []
