"""The Lambda: a CloudFormation event in, a database at its settings out.

::

    handler ─┬─ properties       the event, checked and typed
             ├─ secret           user and password, from Secrets Manager
             ├─ apply            the transaction until it is committed; then verify, and undo if need be
             │   ├─ transaction  read, plan, change, note
             │   │   ├─ reading  what stands, and whether it is what is asked for; changes nothing
             │   │   │  compare  whether two spellings mean one value
             │   │   └─ plan     what to do, as a pure function
             │   └─ verify       what a fresh session really gets
             ├─ several          the same for many databases at once: all or none, or as many as can
             └─ recycle          ending of idle sessions that hold old values, or undone ones
    guard, drift a look on a schedule: whether all is still as asked for
    connector         opens sessions with a secret's credentials
    connection   TLS and PostgreSQL's protocol; which errors pass by themselves
    sql, blocks  every statement, as constant text
    deadline, messages, log     used by all: patience within a time, one-line errors, structured lines

It imports nothing but the standard library, ``pg8000``, ``boto3`` (when a secret is read), ``cdk_pinsafe.settings`` and
``cdk_pinsafe.errors``: these are all that the Lambda's asset holds.
"""
