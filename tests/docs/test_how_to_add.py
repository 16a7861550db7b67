"""The files and commands that docs/how-to-add.md names exist."""

import re
from importlib.util import find_spec

from .pages import ROOT, page


def test_files_exist() -> None:
    paths = re.findall(r"`((?:cdk_pinsafe|tests|docs)/[\w./-]+)`", page("how-to-add"))
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_proofs_select_tests_that_exist() -> None:
    paths = [path for match in re.findall(r"`pytest ([^`]+)`", page("how-to-add")) for path in match.split()]
    assert len(paths) >= 7
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_table_commands_exist() -> None:
    modules = re.findall(r"^python -m (\S+)$", page("how-to-add"), re.MULTILINE)
    assert len(modules) == 3
    assert all(find_spec(module) is not None for module in modules)
