"""Parameters that RDS and Aurora deny their master user although a database can set them in PostgreSQL.

Nothing here was tried on AWS. The rule: parameters of the context ``superuser`` are for superusers, and the master user
of RDS, a member of ``rds_superuser``, is not one (documented: Amazon RDS user guide, "Understanding the rds_superuser
role"). The exceptions are in ``rds.superuser_variables``, which cannot be modified and contains
``session_replication_role`` (documented: Aurora user guide, "Amazon Aurora PostgreSQL parameters"). Evidence on single
names is in :data:`ALLOWED` and :data:`DENIED_ON_RDS`.
"""

from collections.abc import Mapping
from typing import Final

from .parameters import prefixes, versions_of

ALLOWED: Final[Mapping[str, str]] = {
    "pgaudit.log": "https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/"
    "Appendix.PostgreSQL.CommonDBATasks.pgaudit.exclude-user-db.html",
    "session_replication_role": "https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/"
    "AuroraPostgreSQL.Reference.ParameterGroups.html",
}
"""Parameters for superusers that RDS lets its master user set, each with its source."""

DENIED_ON_RDS: Final[Mapping[str, str]] = {
    "lc_messages": "denied on RDS in 2016, https://github.com/grayhemp/pgtoolkit/issues/14",
    "log_min_messages": "denied on RDS 17.2, https://github.com/supabase/realtime/issues/1326",
}
"""Parameters for superusers with a report of a denial on RDS."""

IN_PARAMETER_GROUPS: Final = frozenset(
    {
        "auto_explain.log_analyze",
        "auto_explain.log_buffers",
        "auto_explain.log_format",
        "auto_explain.log_min_duration",
        "auto_explain.log_nested_statements",
        "auto_explain.log_timing",
        "auto_explain.log_triggers",
        "auto_explain.log_verbose",
        "auto_explain.sample_rate",
        "backtrace_functions",
        "commit_delay",
        "compute_query_id",
        "deadlock_timeout",
        "lc_messages",
        "lo_compat_privileges",
        "log_duration",
        "log_error_verbosity",
        "log_executor_stats",
        "log_lock_waits",
        "log_min_duration_sample",
        "log_min_duration_statement",
        "log_min_error_statement",
        "log_min_messages",
        "log_parameter_max_length",
        "log_parser_stats",
        "log_planner_stats",
        "log_replication_commands",
        "log_statement",
        "log_statement_sample_rate",
        "log_statement_stats",
        "log_temp_files",
        "log_transaction_sample_rate",
        "max_stack_depth",
        "pg_stat_statements.track",
        "pg_stat_statements.track_planning",
        "pg_stat_statements.track_utility",
        "session_replication_role",
        "temp_file_limit",
        "track_activities",
        "track_counts",
        "track_functions",
        "track_io_timing",
        "track_wal_io_timing",
        "update_process_title",
    }
)
"""Parameters for superusers that AWS lists for parameter groups.

Documented: the lists of RDS for PostgreSQL 13 and Aurora PostgreSQL 14 in the user guides of June 2023, which say that
they are not complete.
"""

# Prefixes of parameters that a library of RDS or Aurora defines and that were not measured.
# Documented in the same lists; pg_partman_bgw, pgactive, pgtle, plrust and plv8 on the extensions' own pages.
_LIBRARIES: Final = frozenset(
    {
        "apg_plan_mgmt",
        "babelfishpg_tds",
        "babelfishpg_tsql",
        "cron",
        "orafce",
        "pg_bigm",
        "pg_hint_plan",
        "pg_partman_bgw",
        "pg_prewarm",
        "pg_similarity",
        "pgactive",
        "pgaudit",
        "pglogical",
        "pgtle",
        "plrust",
        "plv8",
        "postgis",
        "rdkit",
    }
)


def is_custom(name: str) -> bool:
    """Whether no known library of RDS or Aurora defines a name, such as ``app.jwt_secret``."""
    prefix, dot, _ = name.lower().partition(".")
    return bool(dot) and prefix not in _LIBRARIES and prefix not in prefixes()


def rds_denies(name: str) -> str | None:
    """Why RDS denies ``ALTER DATABASE … SET`` and ``ALTER ROLE … SET`` of a parameter, and what to do instead.

    Args:
        name: the parameter's name, in any case.

    Returns:
        One clause, without the name, such as ``only superusers may set it, and RDS's master user is none: put it in a
        parameter group``; None if it is not denied.
    """
    lower = name.lower()
    if is_custom(lower):
        return (
            'RDS refuses a name that no loaded library defines, as "permission denied to set parameter" '
            "(https://github.com/PostgREST/postgrest/issues/755): keep the value in a table, or in a function that "
            "returns it"
        )
    rows = versions_of(lower)
    if lower in ALLOWED or not rows or rows[-1].context != "superuser":
        return None
    seen = f" ({DENIED_ON_RDS[lower]})" if lower in DENIED_ON_RDS else ""
    return f"only superusers may set it, and RDS's master user is none{seen}: {_instead(lower)}"


def _instead(name: str) -> str:
    if name == "session_preload_libraries":
        return "add the library to shared_preload_libraries in a parameter group"
    if name in IN_PARAMETER_GROUPS:
        return "put it in a parameter group"
    return (
        "put it in a parameter group, if the engine version's parameter group has it "
        "(aws rds describe-engine-default-parameters)"
    )
