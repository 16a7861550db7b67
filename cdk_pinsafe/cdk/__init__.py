"""The constructs. No other room imports ``aws_cdk``, but for a function of ``testing``."""

from .alarms import PinningAlarms
from .database import PostgresDatabase
from .database_settings import DatabaseSettings
from .enhanced_logging import EnhancedLogging
from .postgres import PinSafePostgres
from .proxy import PinSafeProxy
from .recycle import Recycle

__all__ = [
    "DatabaseSettings",
    "EnhancedLogging",
    "PinSafePostgres",
    "PinSafeProxy",
    "PinningAlarms",
    "PostgresDatabase",
    "Recycle",
]
