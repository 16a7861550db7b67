"""Rules that any CDK app with RDS Proxy for PostgreSQL can be held to.

    templates   an app's templates, and which of their values are the same name
    alarms      what an alarm watches, and what is wrong with that
    rules       the rules: data, with a function each
    plugin      the validation plugin that CDK runs

All but ``plugin`` know CloudFormation alone, and nothing of CDK.
"""

from .plugin import PinSafeChecks

__all__ = ["PinSafeChecks"]
