from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pedro_ledger.tools.bench.command import command

app = typer.Typer()
app.command()(command)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--rows", "echo,triple"], "'triple'"),
        (["--generator", "ab"], "--generator: ab"),
        (["--profile", "echo"], "--profile: no row of the daemon is called 'echo'"),
        (["--against", "/nowhere"], "--against /nowhere: no checkout of pedro-ledger is there"),
        (["--against", "/nowhere", "--rows", "echo"], "--rows: 'echo' is not compared"),
        (["--against", "/nowhere", "--rows", "size"], "--rows: 'size' is not compared"),
        (["--against", "/nowhere", "--repeats", "3"], "--repeats is not for --against"),
        (["--against", "/nowhere", "--profile", "hot"], "--profile is not for --against"),
        (["--against", "/nowhere", "--size"], "--size is not for --against"),
        (["--pairs", "3"], "--pairs is only for --against"),
    ],
)
def test_what_cannot_be_run_is_named_in_one_line(arguments: list[str], named: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert named in done.output
    assert done.output.count("\n") == 1


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    done = CliRunner().invoke(app, ["--data-dir", str(tmp_path)])
    assert done.exit_code == 2
    assert "is not empty" in done.output
    assert (tmp_path / "mine").exists()
