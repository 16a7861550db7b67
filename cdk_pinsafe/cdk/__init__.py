"""The constructs. No other room imports ``aws_cdk``, but for a function of ``testing``.

``PinSafeChecks`` is not loaded here but by its own package, for the apps that are held to it.
"""

from .alarms import PinningAlarms
from .dashboard import PinningDashboard
from .database import PostgresDatabase
from .database_settings import DatabaseSettings
from .enhanced_logging import EnhancedLogging
from .pinning_logs import PinningLogs
from .postgres import PinSafePostgres
from .proxy import PinSafeProxy
from .recycle import Recycle

__all__ = [
    "DatabaseSettings",
    "EnhancedLogging",
    "PinSafePostgres",
    "PinSafeProxy",
    "PinningAlarms",
    "PinningDashboard",
    "PinningLogs",
    "PostgresDatabase",
    "Recycle",
]
