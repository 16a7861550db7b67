"""Rules for any CDK app with RDS Proxy for PostgreSQL.

    templates   an app's templates, and which of their values are the same name
    alarms      checks an alarm's metrics
    topics      finds the topics that alarms notify
    rules       the rules: data, with a function each
    plugin      the validation plugin that CDK runs

Only ``plugin`` knows CDK; the others know CloudFormation.
"""

from .plugin import PinSafeChecks

__all__ = ["PinSafeChecks"]
