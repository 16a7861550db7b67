"""RDS PostgreSQL behind an RDS Proxy that keeps multiplexing, as AWS CDK constructs.

The packages, and how they depend on each other::

    settings ─> cdk.DatabaseSettings ─(CloudFormation)─> applier ─> PostgreSQL ─> every new pooled connection
    pinning  ─> cli · audit · probe · lint · logs · emulator · cdk.PinningLogs, cdk.PinSafeChecks · tables of docs/

    errors      the public exceptions, one hierarchy
    contract    names in CloudFormation properties that constructs, applier and local cloud share
    rds_proxy   facts about RDS Proxy: metrics, limits, defaults
    settings    a setting: Python value to PostgreSQL text, and what a database cannot set
    pinning     what pins a session, in SQL, in the proxy's log, and by which clients
    applier     the Lambda function: CloudFormation event to PostgreSQL
    drift       `pinsafe drift`: compares a database with the desired settings of its constructs
    cdk         the constructs; no other package imports aws_cdk, except a function of testing
    emulator    `pinsafe emulator`: a local RDS Proxy emulator that pins as RDS Proxy does
    localpg     an embedded PostgreSQL server with TLS
    localcloud  the AWS APIs that a stack needs, on a local port
    rehearsal   `pinsafe rehearse`: `cdk deploy` on the two
    audit       `pinsafe audit`: which statements of a database pin
    probe       `pinsafe probe`: what pins on a proxy, measured through it
    lint        `pinsafe lint`: finds what pins in files, and the SQL in them
    logs        `pinsafe logs`: what pinned, read from the proxy's log
    dsn         DSNs, parsed without showing a password in an error
    protocol    PostgreSQL's wire protocol: codes, limits, messages
    terminal    untrusted text for terminals, and plurals
    cli         the command `pinsafe`, with `conditions`, `clients` and `settings`
    testing     for users' own tests: a pytest plugin that fails what pins, and templates for snapshots

The names below are loaded on first use, because the applier and the command line import this package too and do not
need ``aws_cdk``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .cdk import (
        DatabaseSettings,
        EnhancedLogging,
        EnhancedLoggingOnAlarm,
        EnhancedLoggingRenewal,
        IPinSafeProxy,
        OnError,
        OnRoleOverride,
        PinningAlarms,
        PinningDashboard,
        PinningLogs,
        PinSafePostgres,
        PinSafeProxy,
        PostgresDatabase,
        Recycle,
    )
    from .cdk.validation import PinSafeChecks

__all__ = [
    "DatabaseSettings",
    "EnhancedLogging",
    "EnhancedLoggingOnAlarm",
    "EnhancedLoggingRenewal",
    "IPinSafeProxy",
    "OnError",
    "OnRoleOverride",
    "PinSafeChecks",
    "PinSafePostgres",
    "PinSafeProxy",
    "PinningAlarms",
    "PinningDashboard",
    "PinningLogs",
    "PostgresDatabase",
    "Recycle",
]

_PUBLIC: Final = frozenset(__all__)

# Hidden from type checkers, which would take every name for one of this module.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _PUBLIC:
            # The rules are loaded by apps alone that are held to them.
            module = ".cdk.validation" if name == "PinSafeChecks" else ".cdk"
            return getattr(import_module(module, __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
