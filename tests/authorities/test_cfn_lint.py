"""cfn-lint finds nothing, but for what .cfnlintrc overlooks with its reason."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ..docs.pages import ROOT
from .synthesis import Synthesized


def test_cfn_lint_finds_nothing(synthesized: Mapping[str, Synthesized]) -> None:
    """In any template of any app; one process for all, since it loads its schemas first."""
    templates = [str(path) for app in synthesized.values() for path in app.directory.glob("*.template.json")]
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("cfn-lint")), "--non-zero-exit-code", "informational", *templates],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (ran.stdout, ran.returncode) == ("", 0)
