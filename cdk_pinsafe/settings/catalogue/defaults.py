"""Which parameters can be the default of every session, and which must not.

PostgreSQL accepts nearly every parameter as the default of a database, but some harm sessions that do not expect them.
This table is maintained by hand, and a test checks that it is complete: each parameter that a database can set is in
:data:`SAFE`, in :data:`HAZARDS` or in :data:`~cdk_pinsafe.settings.names.DENIED`. The reasons are from PostgreSQL's
manual, except those that name another source.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from ...errors import SettingError
from ..names import DENIED
from .check import SettingWarning
from .parameters import Parameter, versions_of
from .rds import is_custom
from .reading import InvalidValueError, read_bool, read_integer, read_real

Value: TypeAlias = str | Sequence[str]
"""The text of a value; names one by one for a list such as ``search_path``."""


class Suits(StrEnum):
    """Which sessions a value suits as a default."""

    EVERY_SESSION = "every session"
    """Safe as the database's default."""
    OWN_ROLE = "a role of its own"
    """Safe for a dedicated role only: for reports, a loader or a backup."""
    ONE_SESSION = "one session"
    """It identifies the session, such as its tenant or user: a default is wrong for other sessions."""
    NEVER = "none"
    """Not safe as a default."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """Values of a parameter that must not be the default of every session.

    Attributes:
        suits: Which sessions they suit.
        values: The values in words, such as ``off`` or ``256MB or more``.
        reason: What they do to sessions that did not ask for them.
        has: Whether a value is one of them.
        usual: Whether a SET with an unknown value is probably one of them, and a SET with a harmless value probably
            undoes one of them: ``SET row_security = on`` is only useful to undo an ``off``.
        corrupts: Whether they can lose or corrupt data; then they are errors, not warnings.
    """

    suits: Suits
    values: str
    reason: str
    has: Callable[[str, Value], bool]
    usual: bool = True
    corrupts: bool = False


def hazard(name: str) -> Hazard | None:
    """The hazard of a parameter as the default of every session; None without one. The name can be in any case."""
    lower = name.lower()
    if reason := DENIED.get(lower):
        return Hazard(Suits.NEVER, "any value", reason, _any, corrupts=True)
    if is_custom(lower) and not lower.startswith("rds."):
        return _CUSTOM
    return HAZARDS.get(lower)


def hazard_of(name: str, value: Value) -> Hazard | None:
    """The hazard of a value; None without one, and for a value that PostgreSQL rejects."""
    known = hazard(name)
    return known if known is not None and known.has(name.lower(), value) else None


def check_default(name: str, value: Value, *, of_role: bool) -> list[SettingWarning]:
    """Check a value as the default of every session, or of one role's sessions.

    Args:
        name: the parameter's name, in any case.
        value: its text.
        of_role: whether it is the default of one role.

    Returns:
        A ``HarmfulDefault`` if it harms sessions that do not expect it; mostly nothing.

    Raises:
        SettingError: it can lose or corrupt data.
    """
    known = hazard_of(name, value)
    if known is None or known is _CUSTOM or (of_role and known.suits is not Suits.NEVER):
        return []
    shown = f"setting {name!r} got {repr(value if isinstance(value, str) else list(value))[:80]}"
    if known.corrupts:
        instead = (
            "give it to a role of its own by 'role_settings'"
            if known.suits is Suits.OWN_ROLE
            else "remove it, and SET it in the one session that needs it"
        )
        raise SettingError(f"{shown}, which is no default: {known.reason}; {instead}")
    return [SettingWarning("HarmfulDefault", f"{shown}, which harms sessions that did not ask for it: {known.reason}")]


def _any(_name: str, _value: Value) -> bool:
    return True


def _is(*words: str) -> Callable[[str, Value], bool]:
    """Matches one of the words, or, for a boolean, any spelling of ``on`` or ``off``."""

    def has(name: str, value: Value) -> bool:
        return _word(name, value) in words

    return has


def _is_not(*words: str) -> Callable[[str, Value], bool]:
    def has(name: str, value: Value) -> bool:
        return _word(name, value) not in (*words, None)

    return has


def _number(fits: Callable[[float], bool]) -> Callable[[str, Value], bool]:
    """Matches a number, in the parameter's unit, for which `fits` is true."""

    def has(name: str, value: Value) -> bool:
        if not isinstance(value, str):
            return False
        row = _row(name)
        read = read_real if row is not None and row.type == "real" else read_integer
        try:
            return fits(read(value, None if row is None else row.unit).rounded)
        except InvalidValueError:
            return False

    return has


def _word(name: str, value: Value) -> str | None:
    if not isinstance(value, str):
        return None
    row = _row(name)
    if row is not None and row.type == "bool":
        try:
            return "on" if read_bool(value) else "off"
        except InvalidValueError:
            return None
    return value.strip().lower()


def _row(name: str) -> Parameter | None:
    rows = versions_of(name)
    return rows[-1] if rows else None


def _no_schema(_name: str, value: Value) -> bool:
    return not any(one.strip() for one in ([value] if isinstance(value, str) else value))


def _other_dates(_name: str, value: Value) -> bool:
    words = {word.strip().lower() for word in value.split(",")} if isinstance(value, str) else set()
    return bool(words & {"postgres", "sql", "german"})


def _other_encoding(_name: str, value: Value) -> bool:
    return isinstance(value, str) and value.strip().lower().replace("-", "").replace("_", "") not in ("utf8", "unicode")


_ON: Final = _is("on")
_OFF: Final = _is("off")
_ZERO: Final = _number(lambda number: number == 0)
_NOT_ZERO: Final = _number(lambda number: number != 0)
_ONE: Final = _number(lambda number: number == 1)
_LARGE: Final = 256 * 1024  # kB

_CUSTOM: Final = Hazard(
    Suits.ONE_SESSION,
    "any value",
    "a name that no extension defines carries what one session is about, such as its tenant or user: as a default it "
    "would be everybody's",
    _any,
)

_PLANNER: Final = Hazard(
    Suits.OWN_ROLE, "off", "it takes a kind of plan from every query, also from those that need it", _OFF
)
_NO_LIMIT: Final = Hazard(
    Suits.OWN_ROLE, "0", "it lifts the limit that other sessions have from a parameter group", _ZERO, usual=False
)
_MUCH_LOG: Final = "it writes to the server's log for every statement of every session"
_LOGS_ALL: Final = Hazard(Suits.OWN_ROLE, "on", _MUCH_LOG, _ON)
_DEVELOPERS: Final = "it is for tests of PostgreSQL itself"
_MEMORY: Final = _number(lambda number: number >= _LARGE)
_PAGES: Final = _number(lambda number: number * 8 >= _LARGE)
_FORCED_PARALLEL: Final = Hazard(
    Suits.NEVER, "on and regress", f"{_DEVELOPERS}: it makes parallel plans where they are slower", _is("on", "regress")
)
_COLLAPSE: Final = Hazard(
    Suits.OWN_ROLE, "1", "every query is joined in the order in which it is written", _ONE, usual=False
)

HAZARDS: Final[dict[str, Hazard]] = {
    # What damages or loses data.
    "allow_system_table_mods": Hazard(
        Suits.NEVER, "on", "it lets a mistake destroy the system catalogs", _ON, corrupts=True
    ),
    "ignore_checksum_failure": Hazard(
        Suits.NEVER, "on", "it hides corruption, and lets corrupt pages be read and copied on", _ON, corrupts=True
    ),
    "zero_damaged_pages": Hazard(
        Suits.NEVER, "on", "it destroys all rows of a page whose header is damaged", _ON, corrupts=True
    ),
    "session_replication_role": Hazard(
        Suits.OWN_ROLE,
        "replica",
        "it switches off triggers and foreign keys, so that every session can store rows that refer to nothing",
        _is("replica"),
        corrupts=True,
    ),
    "array_nulls": Hazard(Suits.OWN_ROLE, "off", "NULL in an array's text would be stored as the word", _OFF),
    "synchronous_commit": Hazard(
        Suits.OWN_ROLE, "off", "a crash would lose transactions that were already reported as committed", _OFF
    ),
    # What takes a protection away.
    "row_security": Hazard(
        Suits.OWN_ROLE, "off", "queries that a row security policy would filter fail; it is for backups", _OFF
    ),
    "check_function_bodies": Hazard(
        Suits.OWN_ROLE, "off", "mistakes in new functions would pass unseen; it is for loading a dump", _OFF
    ),
    "event_triggers": Hazard(Suits.OWN_ROLE, "off", "event triggers, as those that guard DDL, would not fire", _OFF),
    "lo_compat_privileges": Hazard(Suits.NEVER, "on", "it switches off the privileges of large objects", _ON),
    "backslash_quote": Hazard(
        Suits.OWN_ROLE,
        "on",
        r"\' in a string lets SQL be injected under some client encodings",
        _is("on", "true", "yes", "1"),
    ),
    "standard_conforming_strings": Hazard(
        Suits.OWN_ROLE,
        "off",
        "it changes what a backslash in a string means, and drivers that do not expect it quote wrongly",
        _OFF,
        usual=False,
    ),
    "password_encryption": Hazard(
        Suits.OWN_ROLE,
        "md5",
        "new passwords would be MD5 hashes, a copy of which is enough to log in",
        _is("md5"),
    ),
    "track_counts": Hazard(Suits.NEVER, "off", "autovacuum would not see which tables need it", _OFF),
    "track_activities": Hazard(
        Suits.OWN_ROLE, "off", "pg_stat_activity would not show what sessions do, nor whether they are idle", _OFF
    ),
    "compute_query_id": Hazard(
        Suits.OWN_ROLE, "off", "pg_stat_statements records nothing without the identifiers", _is("off", "regress")
    ),
    "pg_stat_statements.track": Hazard(
        Suits.OWN_ROLE, "none", "the statements of every session would be missing in the statistics", _is("none")
    ),
    # What changes the meaning or the result of others' SQL.
    "search_path": Hazard(
        Suits.OWN_ROLE,
        "an empty one",
        "nobody's tables, functions and extensions are found without a schema; it is for loading a dump",
        _no_schema,
        usual=False,
    ),
    "default_transaction_read_only": Hazard(
        Suits.OWN_ROLE, "on", "nobody could write, migrations included, without switching it off first", _ON
    ),
    "default_transaction_isolation": Hazard(
        Suits.OWN_ROLE,
        "repeatable read and serializable",
        "every client would have to repeat transactions that fail with 40001, a serialization failure",
        _is("repeatable read", "serializable"),
        usual=False,
    ),
    "default_transaction_deferrable": Hazard(
        Suits.OWN_ROLE, "on", "serializable transactions that only read may wait before they begin", _ON
    ),
    "restrict_nonsystem_relation_kind": Hazard(
        Suits.OWN_ROLE,
        "view and foreign-table",
        "nobody could use views or foreign tables; it is for a dump",
        _is_not(""),
    ),
    "transform_null_equals": Hazard(
        Suits.OWN_ROLE, "on", "x = NULL would mean x IS NULL in everybody's SQL; it is for Microsoft Access", _ON
    ),
    "plpgsql.variable_conflict": Hazard(
        Suits.OWN_ROLE,
        "use_variable and use_column",
        "functions that exist would take a name for something else",
        _is("use_variable", "use_column"),
    ),
    "plpgsql.extra_errors": Hazard(
        Suits.OWN_ROLE, "any but none", "functions that work today would fail", _is_not("none", "")
    ),
    "gin_fuzzy_search_limit": Hazard(
        Suits.OWN_ROLE, "any but 0", "searches through GIN indexes would return a random part of their rows", _NOT_ZERO
    ),
    "xmloption": Hazard(
        Suits.OWN_ROLE,
        "document",
        "XML that is no whole document would be refused",
        _is("document"),
        usual=False,
    ),
    "quote_all_identifiers": Hazard(
        Suits.OWN_ROLE, "on", "tools that compare definitions would see differences; it is for a dump", _ON
    ),
    # What clients read.
    "application_name": Hazard(
        Suits.ONE_SESSION, "any value", "it names one client, and would name all of them alike", _any
    ),
    "client_encoding": Hazard(
        Suits.OWN_ROLE,
        "any but UTF8",
        "clients that give no encoding when they connect would be sent another one than UTF-8",
        _other_encoding,
        usual=False,
    ),
    "client_min_messages": Hazard(
        Suits.OWN_ROLE,
        "debug1 to debug5",
        "every client would be sent debug messages with every statement",
        _is("debug", "debug1", "debug2", "debug3", "debug4", "debug5"),
        usual=False,
    ),
    "datestyle": Hazard(
        Suits.OWN_ROLE,
        "Postgres, SQL and German",
        "drivers read ISO dates; psycopg2 and psqlODBC would SET their own DateStyle at every connect, which pins",
        _other_dates,
        usual=False,
    ),
    "extra_float_digits": Hazard(
        Suits.OWN_ROLE,
        "0 and less",
        "every client would be sent rounded floating-point numbers",
        _number(lambda number: number <= 0),
        usual=False,
    ),
    # Limits, memory, durability.
    "statement_timeout": _NO_LIMIT,
    "lock_timeout": _NO_LIMIT,
    "transaction_timeout": _NO_LIMIT,
    "idle_in_transaction_session_timeout": _NO_LIMIT,
    "temp_file_limit": Hazard(
        Suits.OWN_ROLE,
        "-1",
        "one query could fill the disk",
        _number(lambda number: number == -1),
        usual=False,
    ),
    "idle_session_timeout": Hazard(
        Suits.OWN_ROLE,
        "any but 0",
        "the server would end connections that the proxy keeps open for its pool",
        _NOT_ZERO,
    ),
    "work_mem": Hazard(
        Suits.OWN_ROLE,
        "256MB or more",
        "each sort and hash of each session may take so much, and together more than the instance has",
        _MEMORY,
        usual=False,
    ),
    "temp_buffers": Hazard(
        Suits.OWN_ROLE,
        "256MB or more",
        "each session may take so much and keeps it, behind the proxy for hours",
        _PAGES,
        usual=False,
    ),
    # Plans.
    "enable_async_append": _PLANNER,
    "enable_bitmapscan": _PLANNER,
    "enable_distinct_reordering": _PLANNER,
    "enable_gathermerge": _PLANNER,
    "enable_group_by_reordering": _PLANNER,
    "enable_hashagg": _PLANNER,
    "enable_hashjoin": _PLANNER,
    "enable_incremental_sort": _PLANNER,
    "enable_indexonlyscan": _PLANNER,
    "enable_indexscan": _PLANNER,
    "enable_material": _PLANNER,
    "enable_memoize": _PLANNER,
    "enable_mergejoin": _PLANNER,
    "enable_nestloop": _PLANNER,
    "enable_parallel_append": _PLANNER,
    "enable_parallel_hash": _PLANNER,
    "enable_partition_pruning": _PLANNER,
    "enable_presorted_aggregate": _PLANNER,
    "enable_self_join_elimination": _PLANNER,
    "enable_seqscan": _PLANNER,
    "enable_sort": _PLANNER,
    "enable_tidscan": _PLANNER,
    "from_collapse_limit": _COLLAPSE,
    "join_collapse_limit": _COLLAPSE,
    "geqo": Hazard(Suits.OWN_ROLE, "off", "queries with many joins would take very long to plan", _OFF),
    # What fills the server's log.
    "auto_explain.log_analyze": Hazard(
        Suits.OWN_ROLE, "on", "every statement is timed, also those that are not logged", _ON
    ),
    "auto_explain.log_min_duration": Hazard(
        Suits.OWN_ROLE, "0", "the plan of every statement of every session would be logged", _ZERO, usual=False
    ),
    "debug_print_parse": _LOGS_ALL,
    "debug_print_plan": _LOGS_ALL,
    "debug_print_rewritten": _LOGS_ALL,
    "log_duration": _LOGS_ALL,
    "log_executor_stats": _LOGS_ALL,
    "log_parser_stats": _LOGS_ALL,
    "log_planner_stats": _LOGS_ALL,
    "log_statement_stats": _LOGS_ALL,
    "trace_notify": _LOGS_ALL,
    "trace_sort": _LOGS_ALL,
    "log_min_duration_statement": Hazard(
        Suits.OWN_ROLE,
        "0 and -1",
        "0 logs every statement of every session, and -1 none",
        _number(lambda number: number in (0, -1)),
        usual=False,
    ),
    "log_min_error_statement": Hazard(
        Suits.OWN_ROLE, "fatal and panic", "statements that fail would not be logged", _is("fatal", "panic")
    ),
    "log_min_messages": Hazard(
        Suits.OWN_ROLE,
        "debug1 to debug5, fatal and panic",
        "the log would have too much to be read, or no errors",
        _is("debug", "debug1", "debug2", "debug3", "debug4", "debug5", "fatal", "panic"),
        usual=False,
    ),
    "log_statement": Hazard(
        Suits.OWN_ROLE,
        "all, mod and none",
        "all and mod log the statements of every session with their values, and none takes away what an audit needs",
        _is("all", "mod", "none"),
        usual=False,
    ),
    "log_transaction_sample_rate": Hazard(Suits.OWN_ROLE, "1", _MUCH_LOG, _ONE, usual=False),
    # What is for tests of PostgreSQL itself.
    "allow_in_place_tablespaces": Hazard(Suits.NEVER, "on", _DEVELOPERS, _ON),
    "debug_logical_replication_streaming": Hazard(Suits.NEVER, "immediate", _DEVELOPERS, _is("immediate")),
    "debug_parallel_query": _FORCED_PARALLEL,
    "force_parallel_mode": _FORCED_PARALLEL,
    "jit_dump_bitcode": Hazard(
        Suits.NEVER, "on", f"{_DEVELOPERS}: it writes files into the data directory until the disk is full", _ON
    ),
    "wal_consistency_checking": Hazard(
        Suits.NEVER, "any but an empty one", f"{_DEVELOPERS}: it writes many times the WAL", _is_not("")
    ),
}
"""The values that must not be the default of every session, by parameter in lower case."""

SAFE: Final = frozenset(
    """
    auto_explain.log_buffers auto_explain.log_format auto_explain.log_level auto_explain.log_nested_statements
    auto_explain.log_parameter_max_length auto_explain.log_settings auto_explain.log_timing auto_explain.log_triggers
    auto_explain.log_verbose auto_explain.log_wal auto_explain.sample_rate
    backend_flush_after backtrace_functions bytea_output
    client_connection_check_interval commit_delay commit_siblings constraint_exclusion
    cpu_index_tuple_cost cpu_operator_cost cpu_tuple_cost createrole_self_grant cursor_tuple_fraction
    deadlock_timeout debug_discard_caches debug_pretty_print default_statistics_target
    default_table_access_method default_tablespace default_text_search_config default_toast_compression
    dynamic_library_path
    effective_cache_size effective_io_concurrency enable_partitionwise_aggregate enable_partitionwise_join
    escape_string_warning extension_control_path extension_destdir
    file_copy_method
    geqo_effort geqo_generations geqo_pool_size geqo_seed geqo_selection_bias geqo_threshold gin_pending_list_limit
    hash_mem_multiplier hnsw.ef_search hnsw.iterative_scan hnsw.max_scan_tuples hnsw.scan_mem_multiplier
    icu_validation_level intervalstyle io_combine_limit
    ivfflat.iterative_scan ivfflat.max_probes ivfflat.probes
    jit jit_above_cost jit_expressions jit_inline_above_cost jit_optimize_above_cost jit_tuple_deforming
    lc_messages lc_monetary lc_numeric lc_time log_error_verbosity log_lock_failures log_lock_waits
    log_min_duration_sample log_parameter_max_length log_parameter_max_length_on_error log_replication_commands
    log_statement_sample_rate log_temp_files logical_decoding_work_mem
    maintenance_io_concurrency maintenance_work_mem max_parallel_maintenance_workers max_parallel_workers
    max_parallel_workers_per_gather max_stack_depth md5_password_warnings min_parallel_index_scan_size
    min_parallel_table_scan_size
    parallel_leader_participation parallel_setup_cost parallel_tuple_cost
    pg_stat_statements.track_planning pg_stat_statements.track_utility
    pg_trgm.similarity_threshold pg_trgm.strict_word_similarity_threshold pg_trgm.word_similarity_threshold
    plan_cache_mode plpgsql.check_asserts plpgsql.extra_warnings plpgsql.print_strict_params
    random_page_cost recursive_worktable_factor
    scram_iterations seq_page_cost session_preload_libraries stats_fetch_consistency synchronize_seqscans
    tcp_keepalives_count tcp_keepalives_idle tcp_keepalives_interval tcp_user_timeout temp_tablespaces
    timezone timezone_abbreviations track_cost_delay_timing track_functions track_io_timing track_wal_io_timing
    update_process_title
    vacuum_buffer_usage_limit vacuum_cost_delay vacuum_cost_limit vacuum_cost_page_dirty vacuum_cost_page_hit
    vacuum_cost_page_miss vacuum_failsafe_age vacuum_freeze_min_age vacuum_freeze_table_age
    vacuum_max_eager_freeze_failure_rate vacuum_multixact_failsafe_age vacuum_multixact_freeze_min_age
    vacuum_multixact_freeze_table_age vacuum_truncate
    wal_compression wal_init_zero wal_recycle wal_sender_timeout wal_skip_threshold
    xmlbinary
    """.split()  # noqa: SIM905 # words read better
)
"""Parameters, in lower case, of which any value can be the default of every session."""
