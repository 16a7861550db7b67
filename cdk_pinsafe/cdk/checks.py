"""Errors and warnings of the constructs. Each message has the construct's path, the prop and the value received."""

import re
from typing import Final, NoReturn

from aws_cdk import Duration, Token, Validations
from constructs import IConstruct

from .. import rds_proxy
from ..errors import ConfigurationError

DUMMY_VPC_ID: Final = "vpc-12345"
"""The id that CDK gives to every VPC that it has not looked up yet."""


def refuse(construct: IConstruct, message: str) -> NoReturn:
    """Raise ConfigurationError with the construct's path before the message."""
    raise ConfigurationError(f"{construct.node.path}: {message}")


def warn(construct: IConstruct, name: str, message: str) -> None:
    """Add the warning ``cdk-pinsafe:<name>``.

    An app acknowledges it with ``Validations.of(construct).acknowledge(Acknowledgment(
    id="annotation::cdk-pinsafe:<name>", reason="..."))``.
    """
    Validations.of(construct).add_warning(f"cdk-pinsafe:{name}", message)


def check_range(
    construct: IConstruct,
    prop: str,
    value: int | float | None,
    minimum: float,
    maximum: float,
    *,
    unit: str = "",
    whole: bool = False,
) -> None:
    """Refuse a number outside ``minimum`` to ``maximum`` or, with ``whole``, a fraction; None and tokens pass."""
    # A token is a number far below any range. It is checked last, since each call to CDK takes time at synth.
    if value is None:
        return
    fits = minimum <= value <= maximum and (not whole or value == int(value))
    if not fits and not Token.is_unresolved(value):
        kind, suffix = "a whole number " if whole else "", f" {unit}" if unit else ""
        refuse(
            construct, f"'{prop}' should be {kind}between {minimum:g} and {maximum:g}{suffix}, got {value:g}{suffix}"
        )


def is_token(construct: IConstruct, prop: str, value: Duration, unit: str) -> bool:
    """Whether a duration is a token; refuses a token in another unit than AWS's, which CDK cannot convert."""
    if not value.is_unresolved():
        return False
    if value.unit_label() != unit:
        refuse(construct, f"'{prop}' should be in {unit} if it is a token, got one in {value.unit_label()}")
    return True


def check_seconds(construct: IConstruct, prop: str, value: Duration | None, minimum: int, maximum: int) -> None:
    """Refuse a duration outside ``minimum`` to ``maximum`` seconds, or with a fraction of a second."""
    if value is None or is_token(construct, prop, value, "seconds"):
        return
    seconds = value.to_seconds(integral=False)
    check_range(construct, prop, seconds, minimum, maximum, unit="seconds", whole=True)


def check_proxy_name(construct: IConstruct, prop: str, name: str) -> None:
    """Raise ConfigurationError for a name that RDS does not take for a proxy; tokens pass."""
    fits = len(name) <= rds_proxy.MAX_NAME_LENGTH and re.fullmatch(rds_proxy.NAME_PATTERN, name)
    if not fits and not Token.is_unresolved(name):
        refuse(
            construct,
            f"'{prop}' should be 1 to {rds_proxy.MAX_NAME_LENGTH} letters, digits and hyphens that begin with a "
            f"letter, have no two hyphens in a row and do not end with a hyphen, got {name!r}",
        )
