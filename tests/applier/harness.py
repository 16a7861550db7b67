"""Servers, databases, events and secrets for the applier's tests, and methods for them."""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pg8000.native
import pytest

from cdk_pinsafe.applier.handler import on_event
from cdk_pinsafe.applier.secret import Credentials
from cdk_pinsafe.errors import PinSafeError
from cdk_pinsafe.localpg.server import Installation, PostgresServer
from cdk_pinsafe.localpg.tls import CertificateAuthority

MASTER: Final = "master"
ARN: Final = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:Master-AbCdEf"
OWNER: Final = "Chat/Database/Settings"
SECONDS: Final = 60.0

Settings = Mapping[str, str | Sequence[str]]


CATALOGUE: Final = """
SELECT coalesce(d.datname, ''), coalesce(r.rolname, ''), lower(o.option_name), o.option_value
FROM pg_db_role_setting s CROSS JOIN LATERAL pg_options_to_table(s.setconfig) o
LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole
"""

_NUMBERS: Final = itertools.count(1)

CLEAN: Final = """
DO $$
DECLARE
  v_name text;
BEGIN
  FOR v_name IN SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' LOOP
    EXECUTE format('DROP EXTENSION IF EXISTS %I CASCADE', v_name);
  END LOOP;
  FOR v_name IN SELECT evtname FROM pg_event_trigger LOOP
    EXECUTE format('DROP EVENT TRIGGER %I', v_name);
  END LOOP;
  FOR v_name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', v_name);
  END LOOP;
  CREATE SCHEMA public AUTHORIZATION pg_database_owner;
  GRANT USAGE ON SCHEMA public TO PUBLIC;
  EXECUTE format('ALTER DATABASE %I OWNER TO master', current_database());
  FOR v_name IN SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' LOOP
    EXECUTE format('ALTER ROLE %I IN DATABASE %I RESET ALL', v_name, current_database());
  END LOOP;
END
$$
"""


class LambdaContext:
    """Lambda's context, as far as the applier uses it."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._milliseconds = int(seconds * 1000)

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


class FakeSecretsManager:
    """Secrets Manager with one secret for each database. Counts the reads."""

    def __init__(self) -> None:
        self.answers: list[Credentials] = []
        self.readings = 0

    def read(self, arn: str) -> Credentials:
        """The next of the answers; the last one again and again."""
        assert arn == ARN
        self.readings += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@dataclass
class Answer:
    """The handler's response."""

    raw: dict[str, Any]

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Applied, changed, adopted, reset."""
        data = self.raw["Data"]
        return int(data["Applied"]), int(data["Changed"]), int(data["Adopted"]), int(data["Reset"])

    @property
    def overridden(self) -> list[str]:
        return [name for name in self.raw["Data"]["OverriddenByRole"].split(", ") if name]


@dataclass
class Cluster:
    """A running server, and the port where it accepts TLS."""

    server: PostgresServer
    installation: Installation
    port: int
    password: str
    authority: CertificateAuthority
    admin: pg8000.native.Connection = field(repr=False)
    spare: list[str] = field(default_factory=list)

    @property
    def major(self) -> int:
        return self.installation.major

    def catalogue(self) -> dict[tuple[str, str, str], str]:
        """All stored texts of the server by database, role (empty for all) and parameter."""
        rows = self.admin.run(CATALOGUE) or []
        return {(database, role, name): text for database, role, name, text in rows}

    @contextlib.contextmanager
    def fresh_database(self, secrets_manager: FakeSecretsManager, name: str | None = None) -> Iterator["Database"]:
        """An empty database of the master user. With a name, it is created and dropped."""
        secrets_manager.answers = [Credentials(MASTER, self.password)]
        chosen = name or (self.spare.pop() if self.spare else f"app_{next(_NUMBERS)}")
        quoted = pg8000.native.identifier(chosen)
        # Creating a database takes longer than most tests, so a cleaned one is used again.
        if not self.admin.run("SELECT 1 FROM pg_database WHERE datname = :name", name=chosen):
            self.admin.run(f"CREATE DATABASE {quoted} OWNER {MASTER} TEMPLATE template0")
        database = Database(self, chosen)
        yield database
        if name is None and database.clean():
            self.spare.append(chosen)
        else:
            self.admin.run(f"DROP DATABASE IF EXISTS {quoted} WITH (FORCE)")


@dataclass
class Database:
    """A database, and events for it."""

    cluster: Cluster
    name: str

    @property
    def admin(self) -> pg8000.native.Connection:
        """A session of the superuser in another database."""
        return self.cluster.admin

    def properties(self, settings: Settings, **changes: object) -> dict[str, object]:
        """The resource's properties, as CloudFormation sends them. A value of None removes one."""
        return properties(settings, **{"Port": str(self.cluster.port), "Database": self.name, **changes})

    @property
    def physical_id(self) -> str:
        return f"pinsafe:127.0.0.1/{self.name}/c8a1f0"

    def create(self, settings: Settings, *, seconds: float = SECONDS, **changes: object) -> Answer:
        """Send a Create event."""
        event = {"RequestType": "Create", "ResourceProperties": self.properties(settings, **changes)}
        return _checked(on_event(event, LambdaContext(seconds)))

    def update(
        self,
        settings: Settings,
        old: Settings,
        *,
        was: Mapping[str, object] | None = None,
        seconds: float = SECONDS,
        **changes: object,
    ) -> Answer:
        """Send an Update event; ``was`` are properties that only the old resource had."""
        event = {
            "RequestType": "Update",
            "PhysicalResourceId": self.physical_id,
            "ResourceProperties": self.properties(settings, **changes),
            "OldResourceProperties": self.properties(old, **(was or {})),
        }
        return _checked(on_event(event, LambdaContext(seconds)))

    def delete(self, settings: Settings, *, seconds: float = SECONDS, **changes: object) -> Answer:
        """Send a Delete event."""
        given = self.properties(settings, **changes)
        event = {
            "RequestType": "Delete",
            "PhysicalResourceId": f"pinsafe:{given['Host']}/{given['Database']}/{given['Address']}",
            "ResourceProperties": given,
        }
        return _checked(on_event(event, LambdaContext(seconds)))

    def refuses(self, action: Callable[[], object], *, kind: type[PinSafeError] = PinSafeError) -> str:
        """The message of an event that fails, after checking that CloudFormation can take it."""
        return refusal(action, kind=kind, hidden=self.cluster.password)

    def clean(self) -> bool:
        """Remove all objects and settings, if the database exists."""
        if not self.admin.run("SELECT 1 FROM pg_database WHERE datname = :name", name=self.name):
            return False
        self.admin.run(f"ALTER DATABASE {pg8000.native.identifier(self.name)} RESET ALL")
        self.rows(CLEAN)
        return True

    @contextlib.contextmanager
    def session(self, user: str = MASTER, password: str | None = None) -> Iterator[pg8000.native.Connection]:
        """A session of another client, without start-up options."""
        connection = self.cluster.server.connect(self.name, user, password or self.cluster.password)
        try:
            yield connection
        finally:
            connection.close()

    def run_sql(self, *statements: str) -> None:
        """Run statements as the master user."""
        with self.session() as session:
            for statement in statements:
                session.run(statement)

    def alter(self, tail: str) -> None:
        """Run ``ALTER DATABASE`` as the master user."""
        self.run_sql(f"ALTER DATABASE {pg8000.native.identifier(self.name)} {tail}")

    def show(self, name: str, *, load: str | None = None) -> str:
        """The value of a parameter in a fresh session."""
        with self.session() as session:
            if load:
                session.run(f"SELECT {load}")
            rows = session.run(f"SHOW {name}")
            assert rows
            return str(rows[0][0])

    def watch(self) -> pg8000.native.Connection:
        """A session of the superuser in this database, immune to the database's settings."""
        server = self.cluster.server
        return pg8000.native.Connection(
            server.superuser,
            host=server.host,
            port=server.port,
            database=self.name,
            password=server.superuser_password,
            startup_params={
                "options": "-c search_path=pg_catalog -c statement_timeout=0 -c default_transaction_read_only=off"
            },
        )

    def rows(self, query: str) -> list[list[Any]]:
        """Rows of a query of the superuser in this database, immune to the database's settings."""
        connection = self.watch()
        try:
            return connection.run(query) or []
        finally:
            connection.close()

    def stored(self) -> dict[str, str]:
        """The texts that are stored for the database."""
        rows = self.admin.run(
            "SELECT o.option_name, o.option_value FROM pg_db_role_setting s, pg_options_to_table(s.setconfig) o "
            "WHERE s.setrole = 0 AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = :name)",
            name=self.name,
        )
        return dict(rows or [])

    def ledger(self) -> dict[str, dict[str, Any]]:
        """The rows of the ledger by name; empty if there is no ledger."""
        if not self.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'cdk_pinsafe'"):
            return {}
        columns = ("name", "role", "owner", "resource", "desired", "applied", "previous", "adopted")
        rows = self.rows(f"SELECT {', '.join(columns)} FROM cdk_pinsafe.setting ORDER BY name")
        return {row[0]: dict(zip(columns, row, strict=True)) for row in rows}


@contextlib.contextmanager
def loader_revoked(database: Database) -> Iterator[None]:
    """Revoke the function that loads libraries, in this database."""
    function = "FUNCTION pg_catalog.fmgr_c_validator(oid)"
    database.rows(f"REVOKE EXECUTE ON {function} FROM PUBLIC")
    try:
        yield
    finally:
        database.rows(f"GRANT EXECUTE ON {function} TO PUBLIC")


def properties(settings: Settings, **changes: object) -> dict[str, object]:
    """A resource's properties, as CloudFormation sends them. A value of None removes one."""
    given: dict[str, object] = {
        "ServiceToken": "arn:aws:lambda:eu-central-1:123456789012:function:Provider",
        "Host": "127.0.0.1",
        "Port": "1",
        "Database": "app",
        "SecretArn": ARN,
        "Settings": json.dumps(settings),
        "Owner": OWNER,
        "Address": "c8a1f0",
        **changes,
    }
    return {key: value for key, value in given.items() if value is not None}


def refusal(action: Callable[[], object], *, kind: type[PinSafeError] = PinSafeError, hidden: str) -> str:
    """The message of an event that fails: one line, short, without ``hidden``, and without a cause."""
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 1000
    assert len(message.encode()) < 2500
    assert hidden not in message
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert caught.traceback[-1].name == "on_event"
    return message


def _checked(answer: dict[str, Any]) -> Answer:
    assert len(json.dumps(answer).encode()) < 4096
    return Answer(answer)
