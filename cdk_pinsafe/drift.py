"""``pinsafe drift``: compares a database with the desired settings of its constructs.

It reads what the applier reads, in a snapshot that changes nothing, and reads the values in a second session as an
application gets it. The desired values are in the ledger in the database, so it needs neither the CDK app nor AWS.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from rich.console import Console
from rich.table import Table

from .applier import drift, sql
from .applier.connection import OVERRIDES
from .applier.drift import SettingStatus
from .applier.messages import Target, truncate
from .applier.plan import Value
from .applier.state import extensions_of, load_libraries
from .applier.verify import ROLE_SOURCES
from .dsn import connect
from .errors import ApplyError, DsnError, UnreachableError
from .terminal import plural

State = Literal["ok", "drifted", "overridden by role", "not effective"]


@dataclass(frozen=True)
class Row:
    """A managed setting, compared with the database.

    Attributes:
        status: the desired value, and what is stored.
        effective: the value in a fresh session of the connecting user; None for a setting of a role, as only that role
            can log in as itself.
        source: PostgreSQL's source of this value; None if it does not report one.
    """

    status: SettingStatus
    effective: str | None
    source: str | None

    @property
    def state(self) -> State:
        """The state of the setting.

        ``drifted``: another value is stored. ``overridden by role``: a role has an own value, for itself. ``not
        effective``: it is stored, but a fresh session takes its value from elsewhere.
        """
        if not self.status.is_in_place:
            return "drifted"
        if self.status.overridden_by:
            return "overridden by role"
        # A placeholder of a library that is not loaded has no source.
        elsewhere = self.source not in (None, "database", *ROLE_SOURCES)
        return "not effective" if elsewhere and not self.status.key.role else "ok"


def run(dsn: str, *, output_format: str) -> int:
    """Print the settings that differ, and return how many do. For the errors see :func:`check`."""
    target, rows = check(dsn)
    if output_format == "json":
        sys.stdout.write(json.dumps(_document(target, rows), indent=2) + "\n")
    else:
        _print(target, rows)
    return sum(row.state != "ok" for row in rows)


def check(dsn: str) -> tuple[Target, list[Row]]:
    """Compare what is stored, and what a fresh session gets, with the desired values.

    Args:
        dsn: a libpq connection string of the instance or cluster, not of a proxy; libpq's environment variables give
            the rest.

    Raises:
        UnreachableError: no connection is possible.
        ApplyError: the ledger cannot be trusted, or PostgreSQL refused a read.
    """
    options = " ".join(f"-c {name}={value}" for name, value in OVERRIDES.items())
    try:
        with _connect(dsn, options=options) as connection:
            target = _target(connection)
            statuses = drift.compare(_Session(connection), target, lambda _: True)
        names = sorted(status.key.name for status in statuses if not status.key.role)
        effective = _effective(dsn, names) if names else {}
    except psycopg.Error as error:
        raise ApplyError(f"the database cannot be read: {truncate(str(error), 300)}") from None
    return target, [Row(one, *((None, None) if one.key.role else effective[one.key.name])) for one in statuses]


class _Session:
    """A psycopg session that runs the applier's statements."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def run(self, statement: str, **values: str) -> list[list[Any]]:
        """Run a statement with pg8000's ``:name`` placeholders."""
        if values:
            statement = re.sub(rf":({'|'.join(values)})\b", r"%(\1)s", statement)
        cursor = self._connection.execute(statement, values or None)
        return [list(row) for row in cursor.fetchall()] if cursor.description else []


def _connect(dsn: str, **changes: str) -> psycopg.Connection[Any]:
    try:
        return connect(dsn, autocommit=True, application_name="cdk-pinsafe", **changes)
    except DsnError as error:
        raise ApplyError(str(error)) from None
    except psycopg.OperationalError as error:
        raise UnreachableError(f"no connection: {truncate(str(error), 400)}") from None


def _target(connection: psycopg.Connection[Any]) -> Target:
    info = connection.info
    return Target(info.host, info.port, info.dbname)


def _effective(dsn: str, names: Sequence[str]) -> Mapping[str, tuple[str | None, str | None]]:
    """Value and source of each parameter in a session without start-up options."""
    with _connect(dsn) as connection:
        session = _Session(connection)
        session.run(sql.BEGIN_READ_ONLY)
        if extensions := extensions_of(names):
            load_libraries(session, extensions)
        rows = session.run(sql.FRESH_SESSION, names=json.dumps(names))
    return {name: (value, source) for name, source, _, _, _, value in rows}


def _document(target: Target, rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "host": target.host,
        "port": target.port,
        "database": target.database,
        "findings": sum(row.state != "ok" for row in rows),
        "settings": [
            {
                "name": row.status.key.name,
                "role": row.status.key.role or None,
                "owner": row.status.owner,
                "desired": row.status.desired,
                "stored": row.status.stored,
                "effective": row.effective,
                "source": row.source,
                "state": row.state,
                "overridden_by": row.status.overridden_by,
            }
            for row in rows
        ],
    }


def _print(target: Target, rows: Sequence[Row]) -> None:
    console = Console(highlight=False, markup=False)
    found = [row for row in rows if row.state != "ok"]
    if not rows:
        console.print(f"{target}: no managed settings")
    elif not found:
        console.print(f"{target}: {plural(len(rows), 'setting')} as desired")
    else:
        console.print(f"{target}: {len(found)} of {plural(len(rows), 'setting')} not as desired")
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for title in ("setting", "desired", "stored", "effective", "state"):
            table.add_column(title, overflow="fold")
        for row in found:
            table.add_row(
                _line(str(row.status.key)),
                _line(_text(row.status.desired)),
                _line(row.status.stored),
                _line(row.effective),
                _line(_state_text(row)),
            )
        console.print(table)


def _state_text(row: Row) -> str:
    if row.state == "overridden by role":
        return f"overridden by role {', '.join(row.status.overridden_by)}"
    return f"not effective, from {row.source}" if row.state == "not effective" else row.state


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _line(text: str | None) -> str:
    return "-" if text is None else truncate(text, 200)
