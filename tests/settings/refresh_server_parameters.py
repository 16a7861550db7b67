"""Writes ``cdk_pinsafe/settings/server_parameters.json`` from the servers that this machine has.

Run as ``python -m tests.settings.refresh_server_parameters``.
"""

import json
import tempfile
from collections import defaultdict
from pathlib import Path

import cdk_pinsafe.settings
from cdk_pinsafe.rehearsal.postgres import PostgresServer, installations

DATA = Path(cdk_pinsafe.settings.__file__).with_name("server_parameters.json")


def parameters_that_no_database_can_set() -> tuple[dict[str, str], dict[str, list[str]]]:
    """Server versions by major, and parameter names by context, of all servers of this machine."""
    versions: dict[str, str] = {}
    contexts: dict[str, set[str]] = defaultdict(set)
    for installation in installations():
        with tempfile.TemporaryDirectory() as directory, PostgresServer(installation, Path(directory)) as server:
            connection = server.connect()
            [[version]] = connection.run("SHOW server_version")
            versions[str(installation.major)] = version
            for name, context in connection.run(
                "SELECT lower(name), context FROM pg_settings WHERE context NOT IN ('user', 'superuser')"
            ):
                contexts[context].add(name)
            connection.close()
    # autovacuum_max_workers needed a restart until 17 and a reload since: one word is enough.
    contexts["sighup"] -= contexts["postmaster"]
    return dict(sorted(versions.items())), {context: sorted(names) for context, names in sorted(contexts.items())}


if __name__ == "__main__":
    versions, parameters = parameters_that_no_database_can_set()
    DATA.write_text(json.dumps({"servers": versions, "parameters": parameters}, indent=1) + "\n", encoding="utf-8")
