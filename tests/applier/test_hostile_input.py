"""Hostile names and values: only the named parameter is ever changed on the whole server."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pg8000.native
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cdk_pinsafe.applier.handler import on_event
from cdk_pinsafe.errors import PinSafeError

from .harness import MASTER, Database, FakeSecretsManager, LambdaContext

NAME: Final = "hostile.text"
"""A parameter that takes any text, and that the master user may set."""
PIECES: Final = (
    "'", '"', "\\", "''", '""', "\\'", "\n", "\r\n", "\t", "\0", "\ud800", "\x01", "\x7f", "\u202e", "🐘", "é",
    "$", "$1", "$$", "$pinsafe$", "%", "%I", "%1$L", "{}", "{0}", ":name", ":request", ";", "--", "/*", "*/", "(", ")",
    "a", "A", " ", ",", ".", "=", "x" * 31, "x" * 63, "🐘" * 15, "U&'\\0027'", "E'\\x27'", "null", "default", "on",
    "'; ALTER DATABASE postgres SET work_mem = '1MB'; --", "\\'; DROP SCHEMA public CASCADE; --",
    "$pinsafe$; ALTER ROLE master SUPERUSER; DO $pinsafe$", '" SET jit = off; --', "' || current_user || '",
)  # fmt: skip
TEXTS: Final = st.lists(st.sampled_from(PIECES), max_size=5).map("".join) | st.text(max_size=20)
NO_NAMES: Final = TEXTS.filter(lambda text: not text.replace(".", "_").isidentifier())
"""Hypothesis tries words of the source code, too: jit, vector and master would be valid."""

EVERYWHERE: Final = """
SELECT jsonb_build_object(
  'roles', (SELECT jsonb_agg(a ORDER BY a.rolname) FROM pg_authid a),
  'members', (SELECT count(*) FROM pg_auth_members),
  'databases', (SELECT jsonb_agg(jsonb_build_array(d.datname, d.datdba, d.datacl, d.datallowconn, d.datconnlimit)
                                 ORDER BY d.datname) FROM pg_database d),
  'parameters', (SELECT jsonb_agg(p ORDER BY p.parname) FROM pg_parameter_acl p))
"""
WITHIN: Final = """
SELECT jsonb_build_object(
  'schemas', (SELECT jsonb_agg(jsonb_build_array(n.nspname, n.nspowner, n.nspacl) ORDER BY n.nspname)
                FROM pg_namespace n WHERE n.nspname <> 'cdk_pinsafe'),
  'relations', (SELECT jsonb_agg(jsonb_build_array(c.relname, c.relowner, c.relacl) ORDER BY c.oid) FROM pg_class c
                 WHERE c.relnamespace IS DISTINCT FROM to_regnamespace('cdk_pinsafe') AND c.oid >= 16384
                   AND c.relname !~ '^pg_toast'),
  'functions', (SELECT count(*) FROM pg_proc),
  'extensions', (SELECT jsonb_agg(e.extname ORDER BY 1) FROM pg_extension e),
  'privileges', (SELECT count(*) FROM pg_default_acl))
"""
Stored = dict[tuple[str, str, str], str]


class ServerSnapshot:
    """Detects every change on the whole server, except of data."""

    def __init__(self, database: Database) -> None:
        self._cluster = database.cluster
        self._watch = database.watch()
        self.elsewhere = self._catalogues()
        self.stored = self._cluster.catalogue()

    def assert_changed_by(self, added: Stored) -> None:
        """Check that only these settings differ from the beginning."""
        assert self._cluster.catalogue() == self.stored | added
        assert self._catalogues() == self.elsewhere

    def close(self) -> None:
        self._watch.close()

    def _catalogues(self) -> list[Any]:
        return [self._cluster.admin.run(EVERYWHERE), self._cluster.admin.run(WITHIN), self._watch.run(WITHIN)]


def _run(session: pg8000.native.Connection, template: str, *names: str) -> None:
    """A statement in which the server quotes names."""
    bound = {f"v{number}": name for number, name in enumerate(names)}
    holders = "".join(f", CAST(:{key} AS text)" for key in bound)
    rows = session.run(f"SELECT format(CAST(:template AS text){holders})", template=template, **bound)
    assert rows
    session.run(rows[0][0])


def _is_text(value: str) -> bool:
    return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)


def _is_applied(database: Database, request: str, given: Mapping[str, object]) -> bool:
    event: dict[str, object] = {"RequestType": request, "ResourceProperties": given}
    if request == "Delete":
        event["PhysicalResourceId"] = f"pinsafe:{given['Host']}/{given['Database']}/{given['Address']}"
    message = ""
    try:
        on_event(event, LambdaContext())
    except PinSafeError as error:
        message = str(error)
    assert message.isprintable()
    assert database.cluster.password not in message
    return not message


def _rounds(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def backslash_database(database: Database) -> Iterator[Database]:
    """A database with backslash escapes in plain literals, and a parameter that takes any text."""
    database.admin.run(f"GRANT SET ON PARAMETER {NAME} TO {MASTER}")
    for tail in ("SET standard_conforming_strings = off", "SET backslash_quote = on", "SET quote_all_identifiers = on"):
        database.alter(tail)
    yield database
    database.admin.run(f"REVOKE SET ON PARAMETER {NAME} FROM {MASTER}")


@contextlib.contextmanager
def _role(database: Database, name: str) -> Iterator[None]:
    with contextlib.closing(database.cluster.server.connect("postgres", MASTER, database.cluster.password)) as master:
        _run(master, "CREATE ROLE %I", name)
        try:
            yield
        finally:
            _run(master, "DROP ROLE %I", name)


@pytest.mark.timeout(1800)
def test_any_text_is_stored_literally_or_refused(backslash_database: Database, long: bool) -> None:
    """Values, elements of lists, roles, owners and addresses of any text: only the named settings are stored, and a
    deletion removes them. What PostgreSQL cannot store is refused."""

    @_rounds(1_000 if long else 15)
    @given(value=TEXTS, path=st.lists(TEXTS, min_size=1, max_size=3), role=TEXTS, owner=TEXTS, address=TEXTS)
    def check(value: str, path: list[str], role: str, owner: str, address: str) -> None:
        is_role = _is_text(role) and 1 <= len(role.encode()) <= 63
        assume(role.lower() not in {"public", "none", MASTER, "postgres"} and not role.startswith("pg_"))
        with contextlib.ExitStack() as stack:
            if is_role:
                stack.enter_context(_role(backslash_database, role))
            snapshot = stack.enter_context(contextlib.closing(ServerSnapshot(backslash_database)))
            desired = {NAME: value, "search_path": path}
            roles = {"RoleSettings": json.dumps({role: desired})}
            given = backslash_database.properties(desired, Owner=owner, Address=address, **roles)
            if not _is_applied(backslash_database, "Create", given):
                assert not is_role or not owner or not address or not all(map(_is_text, (value, *path, owner, address)))
                snapshot.assert_changed_by({})
                return
            assert is_role
            listed = ", ".join(
                backslash_database.admin.run("SELECT quote_ident(:text)", text=text)[0][0] for text in path
            )
            snapshot.assert_changed_by(
                {
                    (backslash_database.name, whose, name): text
                    for whose in ("", role)
                    for name, text in ((NAME, value), ("search_path", listed))
                }
            )
            assert _is_applied(backslash_database, "Delete", given)
            snapshot.assert_changed_by({})

    check()


@pytest.mark.timeout(1800)
def test_invalid_parameter_and_extension_names_are_refused(backslash_database: Database, long: bool) -> None:
    """Nothing is changed on the server."""
    snapshot = ServerSnapshot(backslash_database)

    @_rounds(1_000 if long else 15)
    @given(name=NO_NAMES, extension=NO_NAMES, role=NO_NAMES)
    def check(name: str, extension: str, role: str) -> None:
        for changes in (
            {"Settings": json.dumps({"jit": "off", name: "on"})},
            {"RoleSettings": json.dumps({MASTER: {"jit": "off", name: "on"}})},
            {"RoleSettings": json.dumps({role or "missing": {"jit": "off"}})},
            {"Extensions": [extension or "none"]},
        ):
            assert not _is_applied(
                backslash_database, "Create", backslash_database.properties({"jit": "off"}, **changes)
            )
            snapshot.assert_changed_by({})

    check()
    snapshot.close()


@pytest.mark.timeout(1800)
def test_any_database_name_works_or_is_refused(
    backslash_database: Database, secrets_manager: FakeSecretsManager, long: bool
) -> None:
    """Only the named database gets the setting."""

    @_rounds(300 if long else 4)
    @given(name=TEXTS.filter(lambda name: name not in {"postgres", "template0", "template1"}))
    def check(name: str) -> None:
        can_be = _is_text(name) and 1 <= len(name.encode()) <= 63
        with contextlib.ExitStack() as stack:
            if can_be:
                _run(backslash_database.admin, f"CREATE DATABASE %I OWNER {MASTER} TEMPLATE template0", name)
                stack.callback(_run, backslash_database.admin, "DROP DATABASE %I WITH (FORCE)", name)
            snapshot = stack.enter_context(contextlib.closing(ServerSnapshot(backslash_database)))
            given = backslash_database.properties({"jit": "off"}, Database=name)
            assert _is_applied(backslash_database, "Create", given) == can_be
            snapshot.assert_changed_by({(name, "", "jit"): "off"} if can_be else {})
            if can_be:
                assert _is_applied(backslash_database, "Delete", given)
            snapshot.assert_changed_by({})

    check()
