"""Settings: names, Python values, and their texts for PostgreSQL.

Shared by the constructs, which reject invalid settings before a deployment, and by the applier, which gets the values
that were tokens at synth. Knows nothing of AWS, CDK or connections.
"""

from .names import DENIED, LIST_PARAMETERS, check_name, extension_of
from .values import DurationLike, SettingValue, SizeLike, to_text

__all__ = [
    "DENIED",
    "LIST_PARAMETERS",
    "DurationLike",
    "SettingValue",
    "SizeLike",
    "check_name",
    "extension_of",
    "to_text",
]
