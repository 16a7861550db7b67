"""What pins a PostgreSQL session of RDS Proxy: one table for the linter, the log reader, the emulator and the docs.

A row has what pins, what is similar but safe, what to write instead, and the evidence: this project tried nothing on a
real proxy. The examples are valid SQL, and the test cases of :mod:`.statements`. Knows nothing of a parser, CDK or
connections.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ..errors import UnknownNameError
from ..rds_proxy import STARTUP_PARAMETERS, STATEMENT_LIMIT


class Evidence(StrEnum):
    """How well a claim is known."""

    DOCUMENTED = "documented"
    """AWS's or the client's own documentation or source says so."""
    MEASURED = "measured"
    """A log or a metric of a real proxy was published."""
    LOCAL = "measured without AWS"
    """Measured on PostgreSQL itself, or on a client through this project's emulator, without a real proxy."""
    INFERRED = "inferred"
    """It follows from documentation or measurements, but was not observed."""
    CONFLICTING = "conflicting"
    """Sources contradict each other, and no measurement decides."""
    UNVERIFIED = "unverified"
    """A guess without support or contradiction."""


@dataclass(frozen=True)
class Condition:
    """An interaction that pins.

    Attributes:
        id: Stable name, as in ``-- pinsafe: ignore[set]``.
        title: A few words, in sentence case.
        pins: What pins.
        safe: What is similar but safe, as far as is known.
        remedy: What to write instead.
        log_reasons: Parts of the ``Reason:`` in published logs of it; empty if there are none.
        evidence: How well it is known that it pins, best first.
        source: Links to the sources.
        pinning_examples: Statements that meet this condition.
        safe_examples: Similar statements that meet no condition.
        commands: First words, in lower case, of statements that can meet it.
        nodes: Nodes of PostgreSQL's parse tree that meet it anywhere in a statement.
        functions: Functions of ``pg_catalog`` whose calls meet it.
        inferred_functions: More such functions, for which that is inferred.
        relations: Relations of ``pg_catalog`` whose queries meet it.
        digest_starts: Prefixes of digests of such statements, in lower case.
        digest_starts_of_others: Longer prefixes that belong to another condition.
        digest_parts: Texts in digests of such statements.
    """

    id: str
    title: str
    pins: str
    safe: str
    remedy: str
    log_reasons: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    source: tuple[str, ...]
    pinning_examples: tuple[str, ...]
    safe_examples: tuple[str, ...]
    commands: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    inferred_functions: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    digest_starts: tuple[str, ...] = ()
    digest_starts_of_others: tuple[str, ...] = ()
    digest_parts: tuple[str, ...] = ()

    def is_named_by(self, digest: str) -> bool:
        """Whether a digest that cannot be parsed meets this condition, by its words."""
        starts = digest.startswith(self.digest_starts) and not digest.startswith(self.digest_starts_of_others)
        return starts or any(part in digest for part in self.digest_parts)


@dataclass(frozen=True)
class Caveat:
    """A fact on the proxy that is not an interaction that pins: what it does not check or accept, or what is not known.

    Attributes:
        id: Stable name.
        title: A few words, in sentence case.
        text: Continues the sentence that the title begins.
        evidence: The evidence of its parts, in their order.
        source: Links to the sources.
    """

    id: str
    title: str
    text: str
    evidence: tuple[Evidence, ...]
    source: tuple[str, ...]


AWS_PINNING: Final = "https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html"
AWS_EXTENDED_PROTOCOL: Final = (
    "https://aws.amazon.com/blogs/database/"
    "amazon-rds-proxy-multiplexing-support-for-postgresql-extended-query-protocol/"
)

REASON_SETTINGS: Final = "SQL changed session settings that the proxy doesn't track"
REASON_OVERSIZED: Final = f"The connection ran a SQL query which exceeded the {STATEMENT_LIMIT} byte limit"
REASON_PARSE: Final = "A parse message was detected"
REASON_PREPARED: Final = "Running a prepared statement"

CONDITIONS: Final[tuple[Condition, ...]] = (
    Condition(
        id="set",
        title="SET and RESET",
        pins="SET, SET SESSION and RESET of any parameter, also as SET NAMES, SET TIME ZONE, SET ROLE, SET SESSION "
        "AUTHORIZATION and SET SESSION CHARACTERISTICS, and also to the value that is in force already: the proxy "
        "tracks no parameter of PostgreSQL",
        safe="SHOW; UPDATE … SET; ALTER DATABASE … SET and ALTER ROLE … SET, which new sessions start with; the SET "
        "clause of a function",
        remedy="move it into the database (DatabaseSettings) if one value suits every session, and take the SET out of "
        "the client; pass a value of one session, such as its tenant, as a parameter of the query",
        log_reasons=(REASON_SETTINGS,),
        evidence=(Evidence.DOCUMENTED, Evidence.MEASURED),
        source=(AWS_PINNING, "https://github.com/getlago/lago-api/pull/5979"),
        pinning_examples=(
            "SET search_path TO app, public",
            "SET SESSION statement_timeout = '30s'",
            "SET TIME ZONE 'UTC'",
            "SET NAMES 'UTF8'",
            "SET ROLE reader",
            "SET SESSION AUTHORIZATION DEFAULT",
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "RESET search_path",
            "RESET ALL",
        ),
        safe_examples=(
            "SHOW search_path",
            "SELECT current_setting('search_path')",
            "UPDATE orders SET state = 'sent' WHERE id = 1",
            "ALTER DATABASE app SET search_path TO app, public",
            "ALTER ROLE reader SET search_path TO app, public",
            "CREATE FUNCTION f() RETURNS integer LANGUAGE sql SET search_path = app AS 'SELECT 1'",
        ),
        commands=("set", "reset"),
        digest_starts=("set ", "reset "),
        digest_starts_of_others=("set local ", "set transaction ", "set constraints "),
    ),
    Condition(
        id="set-local",
        title="SET LOCAL",
        pins="SET LOCAL: unresolved, treat it as pinning. AWS's PostgreSQL list says that SET commands pin, without an "
        "exception, and a team reports that theirs did; AWS exempts SET LOCAL for MySQL only",
        safe="BEGIN with the transaction's own modes",
        remedy="move it into the database (DatabaseSettings) where one value suits all; otherwise keep it, and measure",
        log_reasons=(),
        evidence=(Evidence.CONFLICTING,),
        source=(AWS_PINNING,),
        pinning_examples=("SET LOCAL hnsw.iterative_scan = 'relaxed_order'", "SET LOCAL lock_timeout TO '2s'"),
        safe_examples=("BEGIN READ ONLY",),
        commands=("set",),
        digest_starts=("set local ",),
    ),
    Condition(
        id="set-transaction",
        title="SET TRANSACTION and SET CONSTRAINTS",
        pins="SET TRANSACTION and SET CONSTRAINTS, which are SET commands by their names",
        safe="the same modes in BEGIN or START TRANSACTION; constraints that are declared INITIALLY DEFERRED",
        remedy="write the modes into BEGIN, or set default_transaction_isolation in the database",
        log_reasons=(),
        evidence=(Evidence.INFERRED,),
        source=(AWS_PINNING,),
        pinning_examples=(
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SET TRANSACTION READ ONLY",
            "SET CONSTRAINTS ALL DEFERRED",
        ),
        safe_examples=(
            "BEGIN ISOLATION LEVEL SERIALIZABLE",
            "START TRANSACTION READ ONLY",
        ),
        commands=("set",),
        nodes=("ConstraintsSetStmt",),
        digest_starts=("set transaction ", "set constraints "),
    ),
    Condition(
        id="set-config",
        title="set_config()",
        pins="set_config(…), with is_local false or true, anywhere in a statement",
        safe="current_setting(…); a function of this name in a schema of yours",
        remedy="move it into the database (DatabaseSettings) if one value suits every session; pass a value of one "
        "session, such as its tenant, as a parameter of the query, or let a function of the database set it",
        log_reasons=(REASON_SETTINGS,),
        evidence=(Evidence.DOCUMENTED, Evidence.MEASURED),
        source=(AWS_PINNING, "https://github.com/AmbitionEng/django-pghistory/issues/245"),
        pinning_examples=(
            "SELECT set_config('search_path', 'app', false)",
            "SELECT pg_catalog.set_config('app.user', '42', true)",
            "WITH settings AS (SELECT set_config('jit', 'off', false)) SELECT * FROM settings",
        ),
        safe_examples=(
            "SELECT current_setting('app.user', true)",
            "SELECT 'set_config(''jit'', ''off'', false)'",
        ),
        functions=("set_config",),
        digest_parts=("set_config(",),
    ),
    Condition(
        id="oversized",
        title="Statements over 16 KB",
        pins=f"a statement whose text is longer than {STATEMENT_LIMIT} bytes (not characters), before its parameters "
        "are bound",
        safe="the same values as bound parameters: they are not part of the text",
        remedy="bind the values, for example as one array (= ANY ($1), unnest($1)), or send several smaller statements",
        log_reasons=(REASON_OVERSIZED,),
        evidence=(Evidence.DOCUMENTED, Evidence.MEASURED),
        source=(
            AWS_PINNING,
            "https://github.com/getlago/lago-api/pull/6062",
            "https://github.com/prisma/orm/issues/5866",
        ),
        pinning_examples=("SELECT '" + "x" * (STATEMENT_LIMIT - 8) + "'",),
        safe_examples=("SELECT '" + "x" * (STATEMENT_LIMIT - 9) + "'",),
    ),
    Condition(
        id="sql-prepare",
        title="PREPARE, EXECUTE, DEALLOCATE",
        pins="prepared statements that are managed in SQL: PREPARE, EXECUTE (also in EXPLAIN and CREATE TABLE AS) and "
        "DEALLOCATE",
        safe="prepared statements of the extended query protocol, named or unnamed, which drivers use and the proxy "
        "multiplexes since November 2023; PREPARE TRANSACTION is not in the list",
        remedy="let the driver prepare, through the protocol",
        log_reasons=(REASON_PREPARED,),
        evidence=(Evidence.DOCUMENTED, Evidence.MEASURED),
        source=(AWS_PINNING, AWS_EXTENDED_PROTOCOL, "https://github.com/psycopg/psycopg/issues/1105"),
        pinning_examples=(
            "PREPARE find (integer) AS SELECT * FROM orders WHERE id = $1",
            "EXECUTE find(1)",
            "EXPLAIN EXECUTE find(1)",
            "CREATE TABLE found AS EXECUTE find(1)",
            "DEALLOCATE find",
            "DEALLOCATE ALL",
        ),
        safe_examples=("SELECT * FROM orders WHERE id = $1", "EXPLAIN SELECT * FROM orders"),
        commands=("prepare", "execute", "deallocate"),
        nodes=("PrepareStmt", "ExecuteStmt", "DeallocateStmt"),
        digest_starts=("prepare ", "execute ", "deallocate ", "explain execute "),
        digest_parts=(" as execute ",),
    ),
    Condition(
        id="prepared-statements-view",
        title="pg_prepared_statements",
        pins="queries on the view pg_prepared_statements",
        safe="other views of the catalogue; a table of this name in a schema of yours",
        remedy="ask the driver what it has prepared",
        log_reasons=(),
        evidence=(Evidence.DOCUMENTED,),
        source=(AWS_EXTENDED_PROTOCOL,),
        pinning_examples=("SELECT name FROM pg_prepared_statements", "SELECT * FROM pg_catalog.pg_prepared_statements"),
        safe_examples=("SELECT * FROM pg_prepared_xacts",),
        relations=("pg_prepared_statements",),
        digest_parts=("pg_prepared_statements",),
    ),
    Condition(
        id="discard",
        title="DISCARD",
        pins="DISCARD ALL, PLANS, SEQUENCES and TEMP; poolers send DISCARD ALL when a connection is returned",
        safe="closing the connection",
        remedy="switch off the client pool's reset query: the proxy gives each client a clean session",
        log_reasons=(),
        evidence=(Evidence.DOCUMENTED, Evidence.MEASURED),
        source=(AWS_PINNING, "https://github.com/npgsql/npgsql/issues/3731"),
        pinning_examples=("DISCARD ALL", "DISCARD PLANS", "DISCARD SEQUENCES", "DISCARD TEMP"),
        safe_examples=("SELECT 'DISCARD ALL'",),
        commands=("discard",),
        nodes=("DiscardStmt",),
        digest_starts=("discard ",),
    ),
    Condition(
        id="cursor",
        title="DECLARE CURSOR",
        pins="DECLARE … CURSOR, with or without HOLD",
        safe="reading a result in parts through the extended protocol (a portal with a row limit), or page by page by "
        "its key",
        remedy="page by key, or take the whole result; in Django DISABLE_SERVER_SIDE_CURSORS",
        log_reasons=(REASON_SETTINGS,),
        evidence=(Evidence.DOCUMENTED, Evidence.MEASURED),
        source=(AWS_PINNING, "https://github.com/dimagi/open-chat-studio/issues/4176"),
        pinning_examples=(
            "DECLARE c CURSOR FOR SELECT * FROM orders",
            "DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT * FROM orders",
        ),
        safe_examples=("SELECT * FROM orders WHERE id > 100 ORDER BY id LIMIT 50",),
        commands=("declare",),
        nodes=("DeclareCursorStmt",),
        digest_starts=("declare ",),
    ),
    Condition(
        id="temp-object",
        title="Temporary tables, sequences, views",
        pins="creating a temporary table, sequence or view in any form: TEMP, TEMPORARY, the schema pg_temp, "
        "SELECT … INTO TEMP, CREATE TEMP TABLE AS; no exception for ON COMMIT DROP is documented",
        safe="common table expressions, unlogged tables, subqueries",
        remedy="use a common table expression, or an unlogged table with a key for the client's rows",
        log_reasons=(),
        evidence=(Evidence.DOCUMENTED,),
        source=(AWS_PINNING,),
        pinning_examples=(
            "CREATE TEMP TABLE batch (id integer)",
            "CREATE TEMPORARY TABLE batch (id integer) ON COMMIT DROP",
            "CREATE TABLE pg_temp.batch (id integer)",
            "CREATE TEMP TABLE batch AS SELECT id FROM orders",
            "SELECT id INTO TEMP batch FROM orders",
            "CREATE TEMP SEQUENCE numbers",
            "CREATE TEMP VIEW open_orders AS SELECT id FROM orders",
        ),
        safe_examples=(
            "CREATE UNLOGGED TABLE batch (id integer)",
            "WITH batch AS (SELECT id FROM orders) SELECT * FROM batch",
            "SELECT id INTO batch FROM orders",
            "CREATE VIEW open_orders AS SELECT id FROM orders",
        ),
        digest_starts=("create temp",),
        digest_parts=(" into temp", "pg_temp."),
    ),
    Condition(
        id="sequence",
        title="Sequence functions",
        pins="nextval and setval in a statement of the client; by inference currval and lastval",
        safe="an identity column, or a column whose DEFAULT calls nextval, because the client's statement does not "
        "name it; by inference CREATE TABLE with such a DEFAULT, because it does not call it; RETURNING instead of "
        "currval",
        remedy="let a column's default or GENERATED … AS IDENTITY draw the number, and read it with RETURNING",
        log_reasons=(),
        evidence=(Evidence.DOCUMENTED, Evidence.MEASURED),
        source=(AWS_PINNING, "https://github.com/celery/celery/issues/10472"),
        pinning_examples=(
            "SELECT nextval('numbers')",
            "INSERT INTO orders (id) VALUES (pg_catalog.nextval('numbers'))",
            "SELECT setval('numbers', 100)",
        ),
        safe_examples=(
            "INSERT INTO orders (state) VALUES ('new') RETURNING id",
            "INSERT INTO orders (id, state) VALUES (DEFAULT, 'new')",
            "CREATE TABLE parts (id bigint GENERATED ALWAYS AS IDENTITY)",
            "CREATE TABLE parts (id bigint DEFAULT nextval('numbers'), old_id serial)",
            "SELECT last_value FROM numbers",
        ),
        functions=("nextval", "setval"),
        inferred_functions=("currval", "lastval"),
        digest_parts=("nextval(", "setval(", "currval(", "lastval("),
    ),
    Condition(
        id="advisory-lock",
        title="Session-level advisory locks",
        pins="pg_advisory_lock, pg_try_advisory_lock, their _shared forms, and the pg_advisory_unlock functions",
        safe="the transaction-level locks: pg_advisory_xact_lock, pg_try_advisory_xact_lock and their _shared forms",
        remedy="within one transaction use pg_advisory_xact_lock, which its end releases; for a lock that is held "
        "longer, as by migration tools, connect to the database itself",
        log_reasons=(),
        evidence=(Evidence.DOCUMENTED,),
        source=(AWS_PINNING,),
        pinning_examples=(
            "SELECT pg_advisory_lock(1)",
            "SELECT pg_try_advisory_lock(1, 2)",
            "SELECT pg_advisory_lock_shared(1)",
            "SELECT pg_try_advisory_lock_shared(1)",
            "SELECT pg_advisory_unlock(1)",
            "SELECT pg_advisory_unlock_shared(1)",
            "SELECT pg_advisory_unlock_all()",
        ),
        safe_examples=(
            "SELECT pg_advisory_xact_lock(1)",
            "SELECT pg_try_advisory_xact_lock(1, 2)",
            "SELECT pg_advisory_xact_lock_shared(1)",
            "SELECT pg_try_advisory_xact_lock_shared(1)",
            "LOCK TABLE orders IN SHARE MODE",
        ),
        functions=(
            "pg_advisory_lock",
            "pg_advisory_lock_shared",
            "pg_try_advisory_lock",
            "pg_try_advisory_lock_shared",
        ),
        inferred_functions=("pg_advisory_unlock", "pg_advisory_unlock_shared", "pg_advisory_unlock_all"),
        digest_parts=("advisory_lock", "advisory_unlock"),
    ),
    Condition(
        id="listen",
        title="LISTEN",
        pins="LISTEN on a channel",
        safe="NOTIFY, pg_notify(…) and UNLISTEN are in no list",
        remedy="listen on a direct connection to the database, not through the proxy",
        log_reasons=(),
        evidence=(Evidence.DOCUMENTED,),
        source=(AWS_PINNING,),
        pinning_examples=("LISTEN jobs",),
        safe_examples=("NOTIFY jobs", "SELECT pg_notify('jobs', '')"),
        commands=("listen",),
        nodes=("ListenStmt",),
        digest_starts=("listen ",),
    ),
    Condition(
        id="load",
        title="LOAD",
        pins="LOAD of a library",
        safe="CREATE EXTENSION; a library that shared_preload_libraries of the parameter group names",
        remedy="add the library to shared_preload_libraries in the parameter group",
        log_reasons=(),
        evidence=(Evidence.DOCUMENTED,),
        source=(AWS_PINNING,),
        pinning_examples=("LOAD 'auto_explain'",),
        safe_examples=("CREATE EXTENSION IF NOT EXISTS plpgsql",),
        commands=("load",),
        nodes=("LoadStmt",),
        digest_starts=("load ",),
    ),
)

CAVEATS: Final[tuple[Caveat, ...]] = (
    Caveat(
        id="bodies",
        title="Bodies of functions and procedures, and by inference of DO blocks",
        text="are not checked: nothing in them pins, and the connection's next client gets what they change in the "
        "session beyond the transaction",
        evidence=(Evidence.DOCUMENTED, Evidence.INFERRED),
        source=(AWS_PINNING,),
    ),
    Caveat(
        id="copy",
        title="COPY, and several statements sent as one text",
        text="are in no list of what pins; the statements of such a text are checked here one by one",
        evidence=(Evidence.UNVERIFIED,),
        source=(AWS_PINNING,),
    ),
    Caveat(
        id="startup-parameters",
        title="Start-up parameters",
        text=f"that the proxy accepts without a pin are {', '.join(STARTUP_PARAMETERS)}; with any other it refuses the "
        "connection with SQLSTATE 0A000: options (from PGOPTIONS and -c), statement_timeout, jit, …; a client's "
        "start-up parameter overrides the database's setting",
        evidence=(Evidence.MEASURED, Evidence.LOCAL),
        source=("https://github.com/n8n-io/n8n/issues/25705", "https://github.com/jackc/pgx/issues/1792"),
    ),
    Caveat(
        id="cancel",
        title="Cancelling a statement",
        text="from the client (CancelRequest, as Ctrl-C in psql and many drivers' timeouts send it) is not supported: "
        "the statement runs on; statement_timeout, set in the database, ends it",
        evidence=(Evidence.DOCUMENTED, Evidence.INFERRED),
        source=("https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.html",),
    ),
    Caveat(
        id="wrong-results",
        title="Wrong results under load",
        text="are reported: 600 concurrent clients, each with one parameter in its own statement, got 29 results with "
        "the parameter of another statement (extended query protocol, Aurora PostgreSQL 15, August 2024); whether that "
        "is fixed is not known",
        evidence=(Evidence.MEASURED,),
        source=("https://github.com/opengovsg/rdsproxy-test",),
    ),
)

COMMANDS: Final = frozenset(command for one in CONDITIONS for command in one.commands)
"""First words, in lower case, of statements that can meet a condition."""


def condition(id: str) -> Condition:
    """The condition with this id.

    Raises:
        UnknownNameError: there is none; the message names similar ids.
    """
    for one in CONDITIONS:
        if one.id == id:
            return one
    import difflib  # slow, and needed for the error only

    ids = [one.id for one in CONDITIONS]
    near = difflib.get_close_matches(id[:80].lower(), ids, n=3) or ids
    raise UnknownNameError(f"there is no condition {id[:80]!r}: did you mean {' or '.join(near)}?")
