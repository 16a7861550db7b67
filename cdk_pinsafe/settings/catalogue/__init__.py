"""The parameters of PostgreSQL 14 to 18 and of some extensions, and checks of settings.

::

    parameters   the data, which a script wrote from real servers, and functions to look up a parameter
    reading      parses a value's text like PostgreSQL
    units        formats an amount with its unit, as text and in CDK
    rds          what RDS denies its master user
    extensions   names of extensions, mistaken ones, and those that RDS does not offer
    defaults     which values may be the default of every session
    check        checks a setting for one version: errors, and warnings

The constructs and the command line use it. The applier does not: it asks the server.
"""

from .check import SettingWarning, check
from .defaults import Hazard, Suits, check_default, hazard, hazard_of
from .parameters import MAJORS, Parameter, find, measured_on, names, versions_of
from .rds import rds_denies

__all__ = [
    "MAJORS",
    "Hazard",
    "Parameter",
    "SettingWarning",
    "Suits",
    "check",
    "check_default",
    "find",
    "hazard",
    "hazard_of",
    "measured_on",
    "names",
    "rds_denies",
    "versions_of",
]
