"""The AWS APIs that a CDK app needs, on one port of the loopback interface, with a real PostgreSQL behind RDS.

::

    client ─(child process)─> process ─> resources ─┬─> databases ─> localpg
                                                    ├─> proxies ─> emulator
                                                    └─> cloudwatch ─> alarms
    toolchain     Node, npm, and an environment without any AWS setting of the developer's

`resources` and `cloudwatch` run in the child process only. They complete ministack, which serves the APIs.
"""
