"""Checks time zones in settings, at synth."""

from collections.abc import Mapping

from aws_cdk import Token
from constructs import IConstruct

from ..settings import time_zones
from .checks import warn


def check_time_zones(construct: IConstruct, *settings: Mapping[str, str | list[str]]) -> None:
    """Warn, by ``cdk-pinsafe:UnknownTimeZone``, of names that the time zone database lacks; tokens pass.

    It is no error, since the server has its own copy of that database, which may be newer.
    """
    doubts = [
        f"setting {name!r}: {problem}"
        for texts in settings
        for name, text in texts.items()
        if name.lower() in time_zones.PARAMETERS and isinstance(text, str) and not Token.is_unresolved(text)
        if (problem := time_zones.problem(text))
    ]
    if doubts:
        warn(
            construct,
            "UnknownTimeZone",
            f"{'; '.join(dict.fromkeys(doubts))}: check its spelling, or acknowledge "
            "'annotation::cdk-pinsafe:UnknownTimeZone'",
        )
