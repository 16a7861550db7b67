"""The look on a schedule: counts what drifted, publishes it by the log, repairs only where asked to."""

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
WISH = {"work_mem": "8MB", "jit": "off"}


def look(database: Database, *, repair: bool = False, **changes: object) -> dict[str, Any]:
    """Send what the schedule sends."""
    given = database.properties({}, **{"Settings": None, **changes})
    return on_event(
        {
            "RequestType": "DriftCheck",
            "Name": NAME,
            "Repair": repair,
            "Settings": [{"name": name, "role": ""} for name in WISH],
            "ResourceProperties": given,
        },
        LambdaContext(),
    )


def counts(drifted: int = 0, shadowed: int = 0, repaired: int = 0, unchecked: int = 0) -> dict[str, int]:
    return {"Drifted": drifted, "OverriddenByRole": shadowed, "Repaired": repaired, "Unchecked": unchecked}


def test_drift_is_counted_and_published_and_nothing_is_changed(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log has the metrics in the embedded metric format, and the names, but no value."""
    database.create(WISH)
    assert look(database) == counts()
    database.alter("SET work_mem = '5432kB'")
    before = database.stored(), database.ledger()
    capsys.readouterr()
    assert look(database) == counts(drifted=1)
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


def test_repair_sets_again_what_the_ledger_says(database: Database) -> None:
    """Only where asked to; what another construct manages is another's affair."""
    database.create(WISH)
    database.create({"lock_timeout": "1s"}, Owner="Other/Settings", Address="c8ffff")
    ledger = database.ledger()
    database.alter("SET work_mem = '5MB'")
    database.alter("RESET jit")
    database.alter("SET lock_timeout = '9s'")
    assert look(database, repair=True) == counts(drifted=2, repaired=2)
    assert database.stored() == {**WISH, "lock_timeout": "9s"}
    assert database.ledger() == ledger
    assert look(database, repair=True) == counts()


def test_drift_that_cannot_be_repaired_is_drift(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """The alarm must not end because repairing fails."""
    database.create(WISH)
    database.alter("SET work_mem = '5MB'")
    database.admin.run(f"ALTER DATABASE {database.name} OWNER TO postgres")
    assert look(database, repair=True) == counts(drifted=1)
    assert '"level": "ERROR", "event": "not_repaired", "kind": "ApplyError"' in capsys.readouterr().out


def test_a_ledger_that_is_gone_is_drift_that_is_not_repaired(database: Database) -> None:
    """Without a ledger nobody knows what was asked for last, so nothing is set."""
    database.create(WISH)
    database.run_sql("DROP SCHEMA cdk_pinsafe CASCADE")
    database.alter("SET work_mem = '5MB'")
    assert look(database, repair=True) == counts(drifted=2)
    assert database.stored() == {"work_mem": "5MB", "jit": "off"}


def test_one_that_does_not_answer_is_not_waited_for_as_a_deployment_would(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted, and the next look comes by itself."""
    monkeypatch.setattr(drift_check, "_PATIENCE", 0.5)
    start = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert look(database, Port=str(silent.getsockname()[1])) == counts(unchecked=1)
    assert time.monotonic() - start < 5


def test_shadows_are_counted_by_setting(database: Database) -> None:
    """A role's own value is told apart from drift."""
    role = f"role_of_{database.name}"
    database.create(WISH)
    database.run_sql(f"CREATE ROLE {role}", f"ALTER ROLE {role} SET jit = on")
    try:
        assert look(database, repair=True) == counts(shadowed=1)
    finally:
        database.admin.run(f"DROP ROLE {role}")


def test_what_a_log_in_trigger_overrides_is_drift(database: Database) -> None:
    """It is stored, and no session gets it."""
    if database.cluster.major < 17:
        pytest.skip("login triggers came with 17")
    database.create(WISH)
    database.rows(
        "CREATE FUNCTION public.on_login() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_catalog.set_config('jit', 'on', false); END $$; "
        "CREATE EVENT TRIGGER on_login ON login EXECUTE FUNCTION public.on_login()"
    )
    assert look(database) == counts(drifted=1)


def test_databases_that_cannot_be_looked_at_are_counted(
    database: Database, secrets_manager: FakeSecretsManager
) -> None:
    """A list is looked at as a whole; one that fails does not hide the others, and is no error."""
    with fleet_of(database, secrets_manager, 3) as fleet:
        fleet.create(WISH)
        fleet.databases[0].alter("SET work_mem = '5MB'")
        fleet.databases[2].alter("RESET jit")
        names = [*fleet.names, "nosuch"]
        assert look(database, Database=None, Databases=names) == counts(drifted=2, unchecked=1)
        assert look(database, repair=True, Database=None, Databases=names) == counts(2, 0, 2, 1)
        assert fleet.stored() == [WISH] * 3


def test_a_repair_on_behalf_of_a_resource_that_was_replaced_takes_nothing_over(
    database: Database, secrets_manager: FakeSecretsManager
) -> None:
    """The schedule is updated after the resource; what it repaired meanwhile would go when the old one is deleted."""
    with fleet_of(database, secrets_manager, 2) as fleet:
        fleet.databases[0].create(WISH)
        single = {"Database": fleet.names[0], "Databases": None}
        fleet.update(WISH, WISH, id=fleet.databases[0].physical_id, was=single)
        ledgers = fleet.ledgers()
        fleet.databases[0].alter("SET work_mem = '5MB'")
        assert look(fleet.databases[0], repair=True) == counts(drifted=1)
        assert fleet.ledgers() == ledgers
        fleet.databases[0].delete(WISH)
        assert fleet.stored() == [{**WISH, "work_mem": "5MB"}, WISH]
