"""What pins a session of RDS Proxy, in SQL and in logs, and which clients send it.

:mod:`.conditions` and :mod:`.clients` are tables, without third-party imports. :mod:`.statements` finds the conditions
in SQL with PostgreSQL's parser; :mod:`.log_lines` parses and writes the proxy's log lines.
"""
