"""`cdk deploy` on a local cloud with a real PostgreSQL, without an AWS account, Docker, or an installed Node or
PostgreSQL.
"""
