"""A setting: its name, its Python value, and the text that PostgreSQL is given.

Shared by the constructs, which refuse what cannot work before anything is deployed, and by the applier, which sees
the values that were tokens at synth. Knows nothing of AWS, of CDK or of a connection.
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
