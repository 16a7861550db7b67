"""Values of roles that override the database's: reported, or refused."""

import contextlib
from collections.abc import Iterator

import pytest

from cdk_pinsafe.applier.handler import on_event

from .harness import ARN, Database, LambdaContext, properties, refusal


@contextlib.contextmanager
def overriding_role(database: Database, *settings: str, name: str = "") -> Iterator[str]:
    """A role with own values in every database."""
    role = name or f"role_of_{database.name}"
    database.admin.run(f'CREATE ROLE "{role}"')
    try:
        for setting in settings:
            database.admin.run(f'ALTER ROLE "{role}" SET {setting}')
        yield role
    finally:
        database.admin.run(f'ALTER ROLE "{role}" IN DATABASE {database.name} RESET ALL')
        database.admin.run(f'DROP ROLE "{role}"')


def test_fail_refuses_a_role_override(database: Database) -> None:
    """The message names setting and role; nothing is changed, and a repetition fails, too."""
    database.alter("SET work_mem = '5MB'")
    with overriding_role(database, "jit = on", "timezone = 'Europe/Zurich'") as role:
        desired = {"jit": "off", "timezone": "UTC", "work_mem": "8MB"}
        for _ in range(2):
            message = database.refuses(lambda: database.create(desired, OnRoleOverride="fail"))
            assert message.startswith(f'setting "jit" in database "{database.name}"')
            assert f'role "{role}" has a value of its own' in message
            assert f'likewise timezone of role "{role}"' in message
            assert "nothing was changed" in message
            assert database.stored() == {"work_mem": "5MB"}
            assert database.ledger() == {}
        assert database.create(desired, OnRoleOverride="warn").overridden == ["jit", "timezone"]


def test_override_in_one_database_fails_too(database: Database) -> None:
    with overriding_role(database) as role:
        database.admin.run(f"ALTER ROLE {role} IN DATABASE {database.name} SET jit = on")
        assert f'role "{role}"' in database.refuses(lambda: database.create({"jit": "off"}, OnRoleOverride="fail"))


def test_existing_role_override_does_not_block_rollback(database: Database) -> None:
    """An override that was made later is reported. It fails a change of its own setting, but neither a change of others
    nor the rollback."""
    old = {"jit": "off", "work_mem": "8MB"}
    database.create(old, OnRoleOverride="fail")
    with overriding_role(database, "jit = on"):
        assert database.update({**old, "work_mem": "9MB"}, old, OnRoleOverride="fail").overridden == ["jit"]
        database.refuses(lambda: database.update({**old, "jit": "on"}, old, OnRoleOverride="fail"))
        assert database.update(old, old, OnRoleOverride="fail").overridden == ["jit"]
        assert database.delete(old, OnRoleOverride="fail").counts == (0, 0, 0, 2)


def test_adopted_setting_must_not_be_overridden(database: Database) -> None:
    """It would be promised all the same."""
    database.alter("SET jit = off")
    with overriding_role(database, "jit = on"):
        database.refuses(lambda: database.create({"jit": "off"}, OnRoleOverride="fail"))
        assert database.ledger() == {}


def test_roles_of_rds_do_not_count(database: Database) -> None:
    """rdsadmin has values of its own on every instance: otherwise ``fail`` would fail every deployment."""
    with overriding_role(database, "timezone = utc", "statement_timeout = 0", name="rdsadmin"):
        answer = database.create({"timezone": "UTC", "statement_timeout": "30s"}, OnRoleOverride="fail")
        assert answer.overridden == []


def test_hundreds_of_overrides_fit_the_message(database: Database) -> None:
    """The first are named, and the remedy is not truncated."""
    with contextlib.ExitStack() as stack:
        for number in range(60):
            stack.enter_context(overriding_role(database, "jit = on", name=f"role_{number}_{'x' * 40}"))
        message = database.refuses(lambda: database.create({"jit": "off"}, OnRoleOverride="fail"))
    assert "more" in message
    assert message.endswith("on_role_override=OnRoleOverride.WARN")


@pytest.mark.parametrize("value", ["", "Fail", 5, ["fail"]])
def test_unknown_value_is_refused_before_connecting(value: object) -> None:
    given = {**properties({}), "OnRoleOverride": value}
    message = refusal(
        lambda: on_event({"RequestType": "Create", "ResourceProperties": given}, LambdaContext()), hidden=ARN
    )
    assert message.startswith("property 'OnRoleOverride' must be 'warn' or 'fail'")
