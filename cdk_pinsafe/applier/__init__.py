"""The Lambda function behind the custom resource of ``DatabaseSettings``.

::

    handler ─┬─ properties         parses the properties of the event
             ├─ secret             user and password, from Secrets Manager
             ├─ apply              the transaction until it is committed; then verification, and rollback on failure
             │   ├─ transaction    read, plan, alter, write the ledger
             │   │   ├─ state      reads the database, and compares it with desired settings
             │   │   │  equivalence  whether two spellings mean one value
             │   │   └─ plan       what to do, as a pure function
             │   └─ verify         what a fresh session gets
             ├─ batch              the same for many databases at once
             ├─ recycle            ends idle sessions that have old values
             └─ drift_check, drift the scheduled check
    connector                      opens sessions with the credentials of a secret
    connection                     TLS and PostgreSQL's protocol; classifies errors
    sql, do_blocks                 every statement, as constant text
    deadline, messages, log        used by all: retries within a time, one-line errors, structured log lines

It imports only the standard library, ``pg8000``, ``boto3`` (when it reads a secret), ``cdk_pinsafe.contract``,
``cdk_pinsafe.settings`` and ``cdk_pinsafe.errors``: the Lambda's asset holds nothing else.
"""
