"""Many settings that the master user may set on every PostgreSQL version of this project."""

_NAMES = (
    ("64MB", "65MB", "work_mem maintenance_work_mem temp_buffers effective_cache_size min_parallel_table_scan_size"),
    ("9s", "8s", "statement_timeout lock_timeout idle_session_timeout idle_in_transaction_session_timeout"),
    (
        "off",
        "on",
        "jit enable_seqscan enable_sort enable_hashjoin enable_mergejoin enable_nestloop enable_bitmapscan "
        "enable_indexscan enable_indexonlyscan enable_material enable_memoize enable_hashagg enable_tidscan "
        "enable_gathermerge enable_parallel_append enable_parallel_hash enable_partition_pruning "
        "enable_partitionwise_join enable_partitionwise_aggregate enable_incremental_sort enable_async_append "
        "enable_parallel_hash geqo parallel_leader_participation synchronize_seqscans check_function_bodies "
        "array_nulls escape_string_warning lo_compat_privileges row_security transform_null_equals",
    ),
    (
        "3",
        "4",
        "random_page_cost seq_page_cost cpu_tuple_cost cpu_index_tuple_cost cpu_operator_cost parallel_setup_cost "
        "parallel_tuple_cost jit_above_cost jit_inline_above_cost jit_optimize_above_cost from_collapse_limit "
        "join_collapse_limit geqo_threshold geqo_pool_size max_parallel_workers_per_gather "
        "max_parallel_maintenance_workers extra_float_digits",
    ),
)


def many_settings(number: int, variant: int) -> dict[str, str]:
    """``number`` settings. The two variants differ in every value."""
    superuser_only = {"lo_compat_privileges"}
    every = {name: values[variant] for *values, names in _NAMES for name in names.split() if name not in superuser_only}
    assert len(every) >= number
    return dict(list(every.items())[:number])
