"""One small application for each client: it connects, reads and writes as applications do, and disconnects.

Each runs as a program of its own, finds the emulator by libpq's environment variables, and is told in `FORM` whether to
use its client as it comes (`default`) or as the catalogue of clients recommends (`recommended`). It leaves one item
`committed` in the table `basket`, checks what it was answered, and prints its client's version, as `version 1.2.3`.
"""

import os
from typing import Final

RECOMMENDED: Final = os.environ.get("FORM") == "recommended"


def report(version: str) -> None:
    """Tell the test which version ran."""
    print("version", version)
