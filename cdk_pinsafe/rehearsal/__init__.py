"""`cdk deploy` on a local cloud with a real PostgreSQL: no AWS account, no Docker, nothing installed but by pip.

::

    run ─> story ─┬─> cdk_cli ──(real CDK CLI, Node from its wheel)──┐
                  │                                                  v
                  ├─> local_cloud ──(process)─> cloud ─> resources ─┬─> databases ─> postgres, tls
                  │                                                 ├─> proxies ─> the room emulator
                  │                                                 └─> cloudwatch ─> alarms
                  ├─> assembly     what was synthesised; copies with a setting changed
                  ├─> environments   where each stack of the app and its Stages is deployed
                  ├─> deployed     what the local cloud says was made
                  ├─> inspection   what a database says in a fresh connection
                  ├─> pooling ─> traffic     the proxy's clients, with their SETs and without
                  └─> steps, events ─> report

This room may import `emulator`, `pinning`, `settings` and `errors` of this package, and never the applier, which it
meets only as everybody does: as a Lambda function in the app's assembly.
"""
