"""``pinsafe audit``: which statements of a database pin.

Reads ``pg_stat_statements``, ``pg_db_role_setting`` and the current settings in one read-only transaction. The
statements include those that did not come through RDS Proxy, and they are normalized: long literals are missing, so
oversized statements are not found, and PostgreSQL 18 and later also replace the values of SET (from its release notes;
15 was measured to keep them).
"""

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from .dsn import connect
from .errors import AuditError
from .pinning.clients import recognise
from .pinning.conditions import Condition, Evidence
from .pinning.log_lines import classify
from .pinning.remedies import settings_line
from .pinning.statements import StatementFinding, analyse
from .terminal import one_line, plural

_MOST_STATEMENTS = 50_000
_MOST_CHARACTERS = 100_000
_SHOWN = 20
HIDDEN = "<insufficient privilege>"
"""PostgreSQL shows this in place of another role's statement."""

_STATEMENTS = """
    SELECT left(s.query, {characters}), sum(s.calls)::bigint,
        array_agg(DISTINCT coalesce(r.rolname, s.userid::text))::text[], count(*)
    FROM {view} s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.userid
    WHERE s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AND s.toplevel
    GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {most}
"""
_ROLE_SETTINGS = """
    SELECT coalesce(r.rolname, ''), split_part(entry, '=', 1), substr(entry, strpos(entry, '=') + 1)
    FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole,
        unnest(s.setconfig) entry
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
    ORDER BY 1, 2, s.setdatabase
"""
# What a session starts with, without the values that this connection's start-up packet or role sets.
_IN_FORCE = """
    SELECT name, pg_catalog.current_setting(name, true) FROM pg_catalog.pg_settings
    WHERE source NOT IN ('client', 'session', 'user', 'database user')
"""


@dataclass(frozen=True)
class Pin:
    """A statement that pins.

    Attributes:
        condition: The condition's id.
        statement: The statement, as in ``pg_stat_statements``.
        calls: Number of calls since the statistics were reset.
        roles: The roles that sent it.
        evidence: How well it is known that it pins.
        remedy: What to write instead.
        redundant: Whether sessions start with the value that it sets.
        settings: The settings that a database can have instead: parameter to value, None if the value is not known.
        clients: The clients that are known to send it.
    """

    condition: str
    statement: str
    calls: int
    roles: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    remedy: str
    redundant: bool
    settings: dict[str, str | tuple[str, ...] | None]
    clients: tuple[str, ...]


@dataclass(frozen=True)
class AuditReport:
    """The result of an audit.

    Attributes:
        database: The database's name.
        server_version: PostgreSQL's version, as ``15.18``.
        statements: Number of distinct statements.
        calls: Number of calls.
        utility_tracked: Whether utility statements such as SET are recorded.
        hidden: Number of other roles' statements whose text this role may not read.
        not_parsed: Statements that could pin, but that the parser does not accept.
        pins: Statements that pin, the most frequent first.
        move: Settings to move into the database: parameter to value.
        ambiguous: Parameters with several values, with another value than sessions start with, or with a value that is
            not recorded.
        role_settings: Values of these parameters that roles have, which override the database's: (role, parameter,
            value).
    """

    database: str
    server_version: str
    statements: int
    calls: int
    utility_tracked: bool
    hidden: int
    not_parsed: tuple[str, ...]
    pins: tuple[Pin, ...]
    move: dict[str, str | tuple[str, ...]]
    ambiguous: tuple[str, ...]
    role_settings: tuple[tuple[str, str, str], ...]


def run(dsn: str, *, output_format: str) -> bool:
    """Audit a database and print the report.

    Args:
        dsn: A DSN of libpq; if it is empty, libpq uses the environment (``PGHOST`` and so on).
        output_format: ``text`` or ``json``.

    Returns:
        Whether a statement pins.

    Raises:
        AuditError: the database cannot be reached or read; the message contains no password.
        DsnError: the DSN is malformed.
    """
    report = audit(dsn)
    if output_format == "json":
        sys.stdout.write(json.dumps(dataclasses.asdict(report), indent=2, ensure_ascii=False) + "\n")
    else:
        _print(report, Console(highlight=False))
    return bool(report.pins)


def audit(dsn: str) -> AuditReport:
    """Audit a database.

    Raises:
        AuditError: the database cannot be reached or read; the message contains no password.
        DsnError: the DSN is malformed.
    """
    try:
        with connect(dsn) as connection:
            connection.read_only = True
            return _read(connection)
    except psycopg.Error as error:
        raise AuditError(f"the database could not be audited: {one_line(str(error))}") from None


def find_pins(
    rows: Iterable[tuple[str, int, Sequence[str]]], held: Mapping[str, str]
) -> tuple[tuple[Pin, ...], tuple[str, ...]]:
    """Find the statements that pin.

    Args:
        rows: Statements as in ``pg_stat_statements``, each with its calls and roles.
        held: The settings that sessions start with: parameter to value.

    Returns:
        The pins, and the statements that the parser does not accept.
    """
    pins: list[Pin] = []
    not_parsed: list[str] = []
    for text, calls, roles in rows:
        analysis = analyse(text, database_settings=held)
        pins.extend(_pin(finding, text, calls, roles) for finding in analysis.findings)
        for broken in analysis.not_parsed:
            # PostgreSQL ran it, so it is valid but truncated, for example: classify it by its first keyword.
            statement = text[broken.start : broken.end]
            if known := classify(None, statement):
                pins.append(_pin_of(known, statement, calls, roles))
            else:
                not_parsed.append(text)
    return tuple(pins), tuple(not_parsed)


def to_move(pins: Sequence[Pin]) -> tuple[dict[str, str | tuple[str, ...]], tuple[str, ...]]:
    """The settings with one value that sessions do not start with, and the names of the ambiguous ones."""
    wanted: dict[str, set[str | tuple[str, ...] | None]] = {}
    held: set[str] = set()
    for pin in pins:
        for name, value in pin.settings.items():
            if pin.redundant:
                held.add(name)
            else:
                wanted.setdefault(name, set()).add(value)
    move: dict[str, str | tuple[str, ...]] = {}
    ambiguous: list[str] = []
    for name, (value, *others) in sorted(wanted.items()):
        if value is None or others or name in held:
            ambiguous.append(name)
        else:
            move[name] = value
    return move, tuple(ambiguous)


def _read(connection: psycopg.Connection) -> AuditReport:
    view = _view(connection)
    held: dict[str, str] = dict(connection.execute(_IN_FORCE).fetchall())
    roles: list[tuple[str, str, str]] = connection.execute(_ROLE_SETTINGS).fetchall()
    held |= {name.lower(): value for role, name, value in roles if not role}
    query = sql.SQL(_STATEMENTS).format(
        view=view, characters=sql.Literal(_MOST_CHARACTERS), most=sql.Literal(_MOST_STATEMENTS)
    )
    try:
        rows: list[tuple[str, int, list[str], int]] = connection.execute(query).fetchall()
    except psycopg.errors.UndefinedColumn:
        raise AuditError(
            "the extension pg_stat_statements is older than version 1.9, which distinguishes clients' statements from "
            "those inside functions: run ALTER EXTENSION pg_stat_statements UPDATE"
        ) from None
    except psycopg.errors.ObjectNotInPrerequisiteState:
        raise AuditError(
            "pg_stat_statements is not loaded, so nothing was recorded: add it to shared_preload_libraries (on RDS in "
            "the parameter group), restart the server, and audit it after a day"
        ) from None
    tracked = connection.execute(
        "SELECT pg_catalog.current_setting('pg_stat_statements.track_utility', true)"
    ).fetchone()
    pins, not_parsed = find_pins(((text, calls, senders) for text, calls, senders, _ in rows), held)
    move, ambiguous = to_move(pins)
    set_by_clients = {name for pin in pins for name in pin.settings}
    return AuditReport(
        database=connection.info.dbname,
        server_version=(connection.info.parameter_status("server_version") or "").split(" ")[0],
        statements=len(rows),
        calls=sum(calls for _, calls, _, _ in rows),
        utility_tracked=tracked == ("on",),
        hidden=sum(count for text, _, _, count in rows if text == HIDDEN),
        not_parsed=not_parsed,
        pins=pins,
        move=move,
        ambiguous=ambiguous,
        role_settings=tuple(row for row in roles if row[0] and row[1].lower() in set_by_clients),
    )


def _view(connection: psycopg.Connection) -> sql.Identifier:
    found = connection.execute(
        "SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace "
        "WHERE e.extname = 'pg_stat_statements'"
    ).fetchone()
    if found is None:
        raise AuditError(
            f"the database {connection.info.dbname!r} has no extension pg_stat_statements: run CREATE EXTENSION "
            'pg_stat_statements in it, or give DatabaseSettings extensions=["pg_stat_statements"]'
        )
    return sql.Identifier(found[0], "pg_stat_statements")


def _pin_of(known: Condition, statement: str, calls: int, roles: Sequence[str]) -> Pin:
    clients = tuple(one.name for one in recognise(statement, each=True))
    return Pin(known.id, statement, calls, tuple(roles), known.evidence, known.remedy, False, {}, clients)


def _pin(finding: StatementFinding, text: str, calls: int, roles: Sequence[str]) -> Pin:
    return Pin(
        condition=finding.condition.id,
        statement=text[finding.statement_start : finding.statement_end],
        calls=calls,
        roles=tuple(roles),
        evidence=finding.evidence,
        remedy=finding.remedy,
        redundant=finding.redundant,
        settings=dict(finding.settings),
        clients=tuple(one.name for one in recognise(text, each=True)),
    )


def _print(report: AuditReport, console: Console) -> None:
    console.print(
        f"[bold]{escape(one_line(report.database))}[/], PostgreSQL {escape(report.server_version)}: "
        f"{report.statements} statements, sent {plural(report.calls, 'time')}, through the proxy or not\n"
    )
    for pin in report.pins[:_SHOWN]:
        redundant = ", repeats what sessions start with" if pin.redundant else ""
        console.print(
            f"[bold]{plural(pin.calls, 'time')}[/]  [bold]{pin.condition}[/]  ({', '.join(pin.evidence)}){redundant}, "
            f"by {escape(one_line(', '.join(pin.roles)))}"
        )
        _indented(console, pin.statement[:300])
        _indented(console, f"instead: {pin.remedy}")
        if pin.clients:
            _indented(console, f"known to send it: {', '.join(pin.clients)}")
        console.print()
    if len(report.pins) > _SHOWN:
        console.print(f"and {len(report.pins) - _SHOWN} more: see --format json\n")
    if not report.pins:
        all_seen = report.utility_tracked and not report.hidden and not report.not_parsed
        console.print(f"No statement{'' if all_seen else ' that could be read'} pins.\n")
    if report.move:
        console.print("Move into the database, and take out of the clients:")
        _indented(console, settings_line(report.move))
        console.print()
    for line in _remarks(report):
        console.print(escape(one_line(line)))


def _remarks(report: AuditReport) -> list[str]:
    remarks = []
    if report.ambiguous:
        remarks.append(
            f"Set to several values, or to one that is not recorded, so choose one: {', '.join(report.ambiguous)}"
        )
    for role, name, value in report.role_settings:
        remarks.append(f"Role {role} has {name} = {value}, which overrides the database's")
    if not report.utility_tracked:
        remarks.append("Statements such as SET are not recorded: pg_stat_statements.track_utility is off")
    if report.hidden:
        remarks.append(
            f"{report.hidden} statements of other roles are hidden: connect as a member of pg_read_all_stats"
        )
    if report.not_parsed:
        remarks.append(f"{len(report.not_parsed)} statements could not be parsed: see --format json")
    remarks.append("Not tried on AWS. The evidence in parentheses is for whether RDS Proxy pins.")
    return remarks


def _indented(console: Console, text: str) -> None:
    console.print(Padding(escape(one_line(text)), (0, 0, 0, 4), expand=False))
