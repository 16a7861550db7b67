"""An embedded PostgreSQL server with TLS: no Docker, and nothing to install but by pip.

::

    server ─┬─> installations     the PostgreSQL installations of this machine
            └─> child_process     a child that is signalled when this process dies
    tls                           a certificate authority, and TLS in front of a server that was built without it
"""
