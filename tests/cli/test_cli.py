"""The command line; its commands are tested with their packages."""

import subprocess
import sys
import textwrap

import pytest
from click.testing import CliRunner

from cdk_pinsafe.cli import main


def test_help_names_every_command() -> None:
    shown = CliRunner().invoke(main, ["--help"])
    assert shown.exit_code == 0
    for name, command in main.commands.items():
        assert f"  {name}  " in shown.output
        assert command.help


def test_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(main, ["nothing"]).exit_code == 2


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"), [("click", ["--help"], "tools"), ("trustme", ["rehearse"], "rehearsal")]
)
def test_missing_extra_is_named(missing: str, arguments: list[str], extra: str) -> None:
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
