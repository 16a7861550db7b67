"""The constructs. No other package imports ``aws_cdk``, except a function of ``testing``.

``PinSafeChecks`` is in a package of its own, which only apps that use it load.
"""

from .alarms import PinningAlarms
from .dashboard import PinningDashboard
from .database import PostgresDatabase
from .database_settings import DatabaseSettings
from .enhanced_logging import EnhancedLogging, EnhancedLoggingOnAlarm, EnhancedLoggingRenewal
from .on_error import OnError
from .on_role_override import OnRoleOverride
from .pinning_logs import PinningLogs
from .postgres import PinSafePostgres
from .proxy import PinSafeProxy
from .proxy_interface import IPinSafeProxy
from .recycle import Recycle

__all__ = [
    "DatabaseSettings",
    "EnhancedLogging",
    "EnhancedLoggingOnAlarm",
    "EnhancedLoggingRenewal",
    "IPinSafeProxy",
    "OnError",
    "OnRoleOverride",
    "PinSafePostgres",
    "PinSafeProxy",
    "PinningAlarms",
    "PinningDashboard",
    "PinningLogs",
    "PostgresDatabase",
    "Recycle",
]
