"""Knowledge: what pins a session of RDS Proxy, what it looks like in SQL and in logs, which clients do it.

Data first: :mod:`.conditions` and :mod:`.clients` are tables and import no third party. :mod:`.statements` finds the
conditions in SQL, by PostgreSQL's own parser; :mod:`.log_lines` reads and writes the proxy's log lines.
"""
