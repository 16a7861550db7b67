"""``pinsafe drift``: whether a database still has what its constructs asked for, seen from a terminal.

It reads what the applier would read, in a snapshot that changes nothing, and looks at the values in a second session as
an application gets it. What was asked for is what the ledger in the database says, so it needs neither the CDK app nor
AWS.
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
from .dsn import MalformedError, parts_of
from .errors import ApplyError, UnreachableError
from .terminal import plural

State = Literal["ok", "drifted", "shadowed", "not effective"]

_FROM_ROLE = ("user", "database user")


@dataclass(frozen=True)
class Row:
    """A managed setting, and what became of it.

    Attributes:
        standing: what was asked for, and what is stored.
        effective: the value in a fresh session of the user that looks; None for a setting of a role, as which only that
            role can log in.
        source: where PostgreSQL says that this value comes from; None where it does not.
    """

    standing: SettingStatus
    effective: str | None
    source: str | None

    @property
    def state(self) -> State:
        """What is wrong with it, if anything.

        ``drifted``: something else is stored. ``shadowed``: a role's value beats it, for that role. ``not effective``:
        it is stored, but a fresh session takes its value from elsewhere.
        """
        if not self.standing.is_in_place:
            return "drifted"
        if self.standing.overridden_by:
            return "shadowed"
        # A placeholder of a library that is not loaded has no source.
        elsewhere = self.source not in (None, "database", *_FROM_ROLE)
        return "not effective" if elsewhere and not self.standing.key.role else "ok"


def run(dsn: str, *, output_format: str) -> int:
    """Print what is not as it was asked for; answers with how many settings that are. For what is raised see `look`."""
    target, rows = look(dsn)
    if output_format == "json":
        sys.stdout.write(json.dumps(_document(target, rows), indent=2) + "\n")
    else:
        _print(target, rows)
    return sum(row.state != "ok" for row in rows)


def look(dsn: str) -> tuple[Target, list[Row]]:
    """Compare what is stored, and what a fresh session gets, with what was asked for.

    Args:
        dsn: a connection string of libpq, of the instance or cluster, not of a proxy; what it leaves out comes from
            libpq's environment variables.

    Raises:
        UnreachableError: it cannot be connected to.
        ApplyError: the ledger cannot be trusted, or PostgreSQL refused to be read.
    """
    options = " ".join(f"-c {name}={value}" for name, value in OVERRIDES.items())
    try:
        with _connect(dsn, options=options) as connection:
            target = _target(connection)
            standings = drift.compare(_Session(connection), target, lambda _: True)
        names = sorted(standing.key.name for standing in standings if not standing.key.role)
        effective = _effective(dsn, names) if names else {}
    except psycopg.Error as error:
        failure = ApplyError(f"the database cannot be read: {truncate(str(error), 300)}")
    else:
        return target, [Row(one, *((None, None) if one.key.role else effective[one.key.name])) for one in standings]
    raise failure


class _Session:
    """A session of psycopg that runs the applier's statements."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def run(self, statement: str, **values: str) -> list[list[Any]]:
        """Run a statement, whose placeholders are written as the applier's driver has them."""
        if values:
            statement = re.sub(rf":({'|'.join(values)})\b", r"%(\1)s", statement)
        cursor = self._connection.execute(statement, values or None)
        return [list(row) for row in cursor.fetchall()] if cursor.description else []


def _connect(dsn: str, **changes: str) -> psycopg.Connection[Any]:
    try:
        parts_of(dsn)
        return psycopg.connect(dsn, autocommit=True, application_name="cdk-pinsafe", **changes)  # type: ignore[arg-type]
    except MalformedError as error:
        failure: ApplyError = ApplyError(str(error))
    except psycopg.OperationalError as error:
        failure = UnreachableError(f"no connection: {truncate(str(error), 400)}")
    raise failure


def _target(connection: psycopg.Connection[Any]) -> Target:
    info = connection.info
    return Target(info.host, info.port, info.dbname)


def _effective(dsn: str, names: Sequence[str]) -> Mapping[str, tuple[str | None, str | None]]:
    """Value and source of each parameter in a session as an application gets it."""
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
                "name": row.standing.key.name,
                "role": row.standing.key.role or None,
                "owner": row.standing.owner,
                "desired": row.standing.desired,
                "stored": row.standing.stored,
                "effective": row.effective,
                "source": row.source,
                "state": row.state,
                "overridden_by": row.standing.overridden_by,
            }
            for row in rows
        ],
    }


def _print(target: Target, rows: Sequence[Row]) -> None:
    console = Console(highlight=False, markup=False)
    found = [row for row in rows if row.state != "ok"]
    if not rows:
        console.print(f"{target}: no settings are managed there")
    elif not found:
        console.print(f"{target}: {plural(len(rows), 'setting')} as asked for")
    else:
        console.print(f"{target}: {len(found)} of {plural(len(rows), 'setting')} not as asked for")
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for title in ("setting", "desired", "stored", "effective", "state"):
            table.add_column(title, overflow="fold")
        for row in found:
            table.add_row(
                _line(str(row.standing.key)),
                _line(_text(row.standing.desired)),
                _line(row.standing.stored),
                _line(row.effective),
                _line(_state_in_words(row)),
            )
        console.print(table)


def _state_in_words(row: Row) -> str:
    if row.state == "shadowed":
        return f"shadowed for {', '.join(row.standing.overridden_by)}"
    return f"not effective, from {row.source}" if row.state == "not effective" else row.state


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _line(text: str | None) -> str:
    return "-" if text is None else truncate(text, 200)
