"""`pinsafe rehearse`: `cdk deploy` against the local cloud with a real PostgreSQL; no AWS account, no Docker.

::

    run ─> scenario ─┬─> cdk_cli            the real CDK CLI, with Node from its wheel
                     ├─> assembly           the synthesized app; copies with a setting changed
                     ├─> environments       the account and region of each stack of the app and its Stages
                     ├─> stack_resources    the proxies and alarms that the local cloud has
                     ├─> database_client    settings as a fresh connection sees them
                     ├─> vector_query       a filtered HNSW query, with the settings and without
                     ├─> proxy_demo ─> traffic    clients of the proxy, with their SET and without
                     ├─> timeline           the picture of that
                     └─> steps, report_items ─> report

The applier is not imported: it runs as it does on AWS, as the Lambda function in the app's assembly.
"""
