"""What PostgreSQL 14 to 18 and some extensions say of their own parameters, and what follows for a setting.

::

    parameters   the data, which a script wrote from real servers, and how to look a parameter up
    reading      how PostgreSQL reads a value's text
    units        how an amount is written with its unit, as text and in CDK
    rds          what RDS denies its master user
    extensions   names of extensions, mistaken ones, and those that RDS does not offer
    defaults     which values may be the default of every session
    check        a setting against one version: errors, and doubts that do not stop it

The constructs and the command line use it. It is no part of the applier, which asks the server itself.
"""

from .check import Doubt, check
from .defaults import Hazard, Suits, check_default, hazard, hazard_of
from .parameters import MAJORS, Parameter, find, measured_on, names, versions_of
from .rds import rds_denies

__all__ = [
    "MAJORS",
    "Doubt",
    "Hazard",
    "Parameter",
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
