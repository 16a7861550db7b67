"""The command line itself; what its commands do is tested with their rooms."""

import subprocess
import sys
import textwrap

import pytest
from click.testing import CliRunner

from cdk_pinsafe.cli import main


def test_help_names_every_command() -> None:
    """`pinsafe --help` shows each command with one line that says what it is for."""
    shown = CliRunner().invoke(main, ["--help"])
    assert shown.exit_code == 0
    for name, command in main.commands.items():
        assert f"  {name}  " in shown.output
        assert command.help


def test_unknown_command_is_a_usage_error() -> None:
    """A usage error has exit status 2."""
    assert CliRunner().invoke(main, ["nothing"]).exit_code == 2


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"), [("click", ["--help"], "tools"), ("trustme", ["rehearse"], "rehearsal")]
)
def test_missing_extra_is_named(missing: str, arguments: list[str], extra: str) -> None:
    """Without the packages of an extra a command says which one to install, in one line."""
    code = textwrap.dedent(
        f"""
        import sys
        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == {missing!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Missing())
        sys.argv = ["pinsafe", *{arguments!r}]
        from cdk_pinsafe.cli import main
        main()
        """
    )
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ran.returncode == 2
    assert f"pip install 'cdk-pinsafe[{extra}]'" in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr
