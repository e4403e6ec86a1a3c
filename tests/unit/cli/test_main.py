"""The command line as a whole: help, mistakes, bugs, signals, pipes, and packages in front of ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from pipeline.cli.main import main
from pipeline.registry import STAGES
from tests.support import plug_in, prefmill, run, short_recipe, write

COMMANDS = (
    "validate",
    "plan",
    "schema",
    "run",
    "rejects",
    "status",
    "trace",
    "verify",
    "export",
    "stages",
    "prompts",
    "doctor",
)


def console(*arguments, **options):
    command = [sys.executable, "-m", "pipeline.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_help_lists_every_command_and_the_exit_codes():
    result = prefmill("--help")
    assert result.code == 0 and all(f"\n│ {c} " in result.out for c in COMMANDS)
    assert "Exit codes: 0 done; 2 recipe or prerequisites" in " ".join(result.out.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command):
    result = prefmill(command, "-h")
    assert result.code == 0 and f"prefmill {command}" in result.out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["run"], "recipe"),
        (["status", "x", "--jso"], "--jso"),
        (["rejects", "x", "--limit", "0"], "--limit"),
        (["run", "a", "--limit", "0"], "--limit"),
        (["run", "a", "--resume", "maybe"], "--resume"),
        (["trace", "x"], "row_id"),
        (["export", "x"], "--to"),
    ],
)
def test_a_mistake_in_the_command_line_ends_with_2_and_one_message(arguments, reason):
    result = prefmill(*arguments)
    assert (result.code, result.out) == (2, "") and "Traceback" not in result.err
    assert "Error: " in result.err and reason.lower() in result.err.lower()


def test_without_a_command_help_is_shown():
    result = prefmill()
    assert result.code == 2 and "Commands" in result.out + result.err and "Traceback" not in result.err


BUGGY = '''
from pipeline.api import RowStage, StageConfig, columns

class Options(StageConfig):
    """Options."""

class Buggy(RowStage):
    """Fails on purpose."""
    name, version, config_type = "buggy", 1, Options
    async def process_row(self, row, ctx):
        return [row["no such column"]]
'''


def test_a_bug_in_a_stage_is_shown_with_its_traceback_and_the_row(tmp_path, monkeypatch):
    plug_in(tmp_path / "site", "plug_buggy", STAGES, {"buggy": "plug_buggy:Buggy"}, BUGGY)
    monkeypatch.syspath_prepend(tmp_path / "site")
    value = short_recipe()
    value["stages"].append({"id": "odd", "use": "buggy"})
    result = run(write(tmp_path, value), tmp_path / "run")
    sys.modules.pop("plug_buggy", None)
    assert result.code == 1 and "Traceback" in result.err and "KeyError: 'no such column'" in result.err
    assert "bug: stage 'odd' (buggy) raised KeyError on row '" in result.err


def test_ctrl_c_while_a_recipe_is_read_ends_with_130(tmp_path):
    pipe = tmp_path / "recipe.yaml"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "pipeline.cli.main", "validate", pipe]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    with process, pipe.open("wb"):  # waits until the command reads the recipe
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err


def test_a_reader_that_went_away_is_no_bug():
    command = f"{sys.executable} -m pipeline.cli.main schema"
    result = subprocess.run(
        ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True
    )
    assert result.stdout == "1\n" and "Traceback" not in result.stderr


def test_the_console_command_returns_the_exit_code(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["prefmill", "stages", "nonsense"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2 and "stage 'nonsense' is not registered" in capsys.readouterr().err


def test_a_package_named_stages_in_front_of_ours_is_named(tmp_path):
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").write_text("")
    result = console("stages", env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd="/")
    assert result.returncode == 1 and f"but 'stages' from '{tmp_path}'" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_with_packages_of_our_names_does_no_harm_to_the_console_command(tmp_path):
    for name in ("pipeline", "stages", "prompts"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('shadowed')")
    command = os.path.join(os.path.dirname(sys.executable), "prefmill")
    if not os.path.exists(command):
        pytest.skip("the console command is not installed beside this interpreter")
    result = subprocess.run([command, "prompts"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0 and "synthesize_skillmix/generate.v2" in result.stdout
