"""Values of roles that beat the database's: told, or refused."""

import contextlib
from collections.abc import Iterator

import pytest

from cdk_pinsafe.applier.handler import on_event

from .harness import ARN, Database, LambdaContext, properties, refusal


@contextlib.contextmanager
def shadow(database: Database, *settings: str, name: str = "") -> Iterator[str]:
    """A role with values of its own, in every database."""
    role = name or f"role_of_{database.name}"
    database.admin.run(f'CREATE ROLE "{role}"')
    try:
        for setting in settings:
            database.admin.run(f'ALTER ROLE "{role}" SET {setting}')
        yield role
    finally:
        database.admin.run(f'ALTER ROLE "{role}" IN DATABASE {database.name} RESET ALL')
        database.admin.run(f'DROP ROLE "{role}"')


def test_a_shadow_fails_a_deployment_that_says_so(database: Database) -> None:
    """The message names setting and role; nothing is changed, and a repetition fails as well."""
    database.alter("SET work_mem = '5MB'")
    with shadow(database, "jit = on", "timezone = 'Europe/Zurich'") as role:
        wish = {"jit": "off", "timezone": "UTC", "work_mem": "8MB"}
        for _ in range(2):
            message = database.refuses(lambda: database.create(wish, OnRoleOverride="fail"))
            assert message.startswith(f'setting "jit" in database "{database.name}"')
            assert f'role "{role}" has a value of its own' in message
            assert f'likewise timezone of role "{role}"' in message
            assert "nothing was changed" in message
            assert database.stored() == {"work_mem": "5MB"}
            assert database.ledger() == {}
        assert database.create(wish, OnRoleOverride="warn").shadowed == ["jit", "timezone"]


def test_a_shadow_in_the_database_itself_fails_too(database: Database) -> None:
    """A role's value in one database is as much a shadow as one in every database."""
    with shadow(database) as role:
        database.admin.run(f"ALTER ROLE {role} IN DATABASE {database.name} SET jit = on")
        assert f'role "{role}"' in database.refuses(lambda: database.create({"jit": "off"}, OnRoleOverride="fail"))


def test_a_shadow_of_what_stands_already_fails_no_way_back(database: Database) -> None:
    """A shadow cast later is told; it fails the change of the very setting, not one of others, nor the way back."""
    old = {"jit": "off", "work_mem": "8MB"}
    database.create(old, OnRoleOverride="fail")
    with shadow(database, "jit = on"):
        assert database.update({**old, "work_mem": "9MB"}, old, OnRoleOverride="fail").shadowed == ["jit"]
        database.refuses(lambda: database.update({**old, "jit": "on"}, old, OnRoleOverride="fail"))
        assert database.update(old, old, OnRoleOverride="fail").shadowed == ["jit"]
        assert database.delete(old, OnRoleOverride="fail").counts == (0, 0, 0, 2)


def test_what_is_adopted_must_not_be_shadowed_either(database: Database) -> None:
    """Taken over as it stands, it would still be promised."""
    database.alter("SET jit = off")
    with shadow(database, "jit = on"):
        database.refuses(lambda: database.create({"jit": "off"}, OnRoleOverride="fail"))
        assert database.ledger() == {}


def test_roles_of_rds_itself_cast_no_shadow(database: Database) -> None:
    """rdsadmin has values of its own on every instance: without this no deployment could ask for failure."""
    with shadow(database, "timezone = utc", "statement_timeout = 0", name="rdsadmin"):
        answer = database.create({"timezone": "UTC", "statement_timeout": "30s"}, OnRoleOverride="fail")
        assert answer.shadowed == []


def test_hundreds_of_shadows_fit_the_message(database: Database) -> None:
    """The first are named, and the remedy is not cut off."""
    with contextlib.ExitStack() as stack:
        for number in range(60):
            stack.enter_context(shadow(database, "jit = on", name=f"role_{number}_{'x' * 40}"))
        message = database.refuses(lambda: database.create({"jit": "off"}, OnRoleOverride="fail"))
    assert "more" in message
    assert message.endswith("on_role_override='warn'")


@pytest.mark.parametrize("value", ["", "Fail", 5, ["fail"]])
def test_another_policy_is_refused_unopened(value: object) -> None:
    """Only the two are known."""
    given = {**properties({}), "OnRoleOverride": value}
    message = refusal(
        lambda: on_event({"RequestType": "Create", "ResourceProperties": given}, LambdaContext()), hidden=ARN
    )
    assert message.startswith("property 'OnRoleOverride' must be 'warn' or 'fail'")
