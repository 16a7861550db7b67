"""Remedies for SQL as in public repositories, rewritten for this project."""

from pathlib import PurePath

import pytest

from cdk_pinsafe.lint.linter import lint_text
from cdk_pinsafe.lint.senders import sender_of
from cdk_pinsafe.pinning.clients import Sender

DUMP = """\
SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET row_security = off;
"""


def advice(path: str, text: str) -> list[tuple[str, str]]:
    """Rule and remedy of each finding."""
    return [(one.rule.id, one.remedy) for one in lint_text(path, text, {}).findings]


def test_dump_is_loaded_without_the_proxy() -> None:
    """None of its SETs is proposed as a database default."""
    found = advice("db/structure.sql", DUMP)
    assert [rule for rule, _ in found] == ["set", "set", "set", "set-config", "set", "set", "set"]
    assert {remedy for _, remedy in found} == {found[0][1]}
    assert "dumps on a connection to the database itself" in found[0][1]


def test_disabled_triggers_get_their_own_role() -> None:
    found = advice(
        "seed.ts",
        "await db.query(\"SET session_replication_role = 'replica'\");\n"
        "await db.query(\"SET session_replication_role = 'origin'\");\n",
    )
    assert len(found) == 2
    assert all("give it to a role of its own" in remedy and "foreign keys" in remedy for _, remedy in found)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("tenancy.ts", "link.query(`SET tenant.id = '${id}'`)"),
        ("tenancy.ts", "runner.query(\"select set_config('tenant.id', $1, false)\", [id])"),
        ("rls.ts", "prisma.$executeRaw`SELECT set_config('shop.tenant_id', ${id}, TRUE)`"),
        ("rls.ts", "prisma.$executeRaw`SET shop.bypass_rls = 'on'`"),
        ("base.py", 'cursor.execute("SET my.tenant_id = %s", [tenant])'),
        ("base.py", "cursor.execute(f\"SET my.tenant_id = '{tenant}'\")"),
        ("Tenants.java", "class A { void f() { s.execute(String.format(\"SET app.tenant = '%s'\", tenant)); } }"),
    ],
)
def test_tenant_is_no_default(path: str, text: str) -> None:
    """The remedy for a tenant points to the page on row-level security."""
    ((_, remedy),) = advice(path, text)
    assert "docs/row-level-security.md" in remedy
    assert "settings=" not in remedy


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("migrate.py", "pg_advisory_xact_lock cannot take its place"),
        ("db/migrations/0001_lock.py", "pg_advisory_xact_lock cannot take its place"),
        ("locks.py", "as by migration tools, connect to the database itself"),
    ],
)
def test_migration_lock(path: str, words: str) -> None:
    """A lock over several transactions needs a direct connection; a path without a hint gets both remedies."""
    ((rule, remedy),) = advice(path, 'cur.execute("SELECT pg_advisory_lock(%s)", (LOCK,))')
    assert rule == "advisory-lock"
    assert words in remedy


def test_placeholder_in_transaction_modes() -> None:
    """No parameter or value is invented for a variable."""
    text = (
        'cursor.execute(f"SET SESSION CHARACTERISTICS AS TRANSACTION {mode}")\n'
        'cursor.execute(f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}")\n'
        'cursor.execute(f"SET TRANSACTION {mode}")\n'
    )
    report = lint_text("iso.py", text, {})
    assert [one.rule.id for one in report.findings] == ["set", "set", "set-transaction"]
    for one in report.findings:
        assert not {"deferrable", "serializable"} & set(f"{one.message} {one.remedy}".lower().replace(":", "").split())
    assert 'settings={"default_transaction_isolation": ...}' in report.findings[1].remedy


def test_function_that_leaks_a_tenant() -> None:
    sql = (
        "CREATE FUNCTION use_tenant(id text) RETURNS void LANGUAGE plpgsql AS $$\n"
        "BEGIN\n"
        "    PERFORM set_config('app.tenant', id, false);\n"
        "END $$;\n"
    )
    (finding,) = lint_text("001.sql", sql, {}).findings
    assert (finding.rule.id, finding.start) == ("session-leak", (3, 13))
    assert finding.message == (
        "the function leaves app.tenant set in the session: that does not pin, so the connection's next client gets it"
    )
    assert "docs/row-level-security.md" in finding.remedy
    assert advice("001.sql", f"-- pinsafe: ignore[session-leak]\n{sql}") == []
    assert advice("001.sql", sql.replace("false", "true")) == []
    program = 'op.execute("""' + sql + '""")'
    assert [rule for rule, _ in advice("versions/1.py", program)] == ["session-leak"]


@pytest.mark.parametrize(
    ("path", "text", "sender"),
    [
        ("a.sql", "--\n-- PostgreSQL database dump\n--\n", Sender.DUMP),
        ("a.sql", DUMP, Sender.DUMP),
        ("a.sql", "SET row_security = off;\nSELECT 1;", None),
        ("db/migrate/20260301000000_fill.rb", "", Sender.MIGRATION),
        ("alembic/versions/1a2b.py", "", Sender.MIGRATION),
        ("api/versions/v1.py", "", None),
        ("sql/V1__orders.sql", "", Sender.MIGRATION),
        ("sql/R__views.sql", "", Sender.MIGRATION),
        ("sql/0001_orders.up.sql", "", Sender.MIGRATION),
        ("prisma/migrations/1/migration.sql", "", Sender.MIGRATION),
        ("cmd/migrator.go", "", Sender.MIGRATION),
        ("migrated_orders.sql", "", None),
        ("emigration.py", "", None),
        ("app/orders.py", "", None),
    ],
)
def test_sender_of_a_file(path: str, text: str, sender: Sender | None) -> None:
    assert sender_of(PurePath(path), text) is sender
