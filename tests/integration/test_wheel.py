"""The built wheel, installed in an empty folder, works where the current folder has names like ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.integration.harness import ROOT, environment, write_recipe

PIP = [sys.executable, "-m", "pip", "--quiet", "--no-input"]
HERE = ("pyproject.toml", "README.md", "LICENSE", "pipeline", "stages", "prompts", "data_cards")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """Build the wheel from a copy of what it is made of."""
    base = tmp_path_factory.mktemp("wheel")
    for name in HERE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, base / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (base / "source").mkdir(exist_ok=True)
            shutil.copy(ROOT / name, base / "source" / name)
    build = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(base), str(base / "source")]
    done = subprocess.run(build, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = base.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Path:
    """Install the wheel into an empty folder."""
    folder = tmp_path_factory.mktemp("installed")
    command = [*PIP, "install", "--no-deps", "--no-index", "--target", str(folder), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def hostile(tmp_path) -> Path:
    """Make a folder whose contents have the names of our packages and data."""
    for name in ("pipeline", "stages"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong package was imported')\n")
    theirs = tmp_path / "prompts" / "synthesize_skillmix"
    theirs.mkdir(parents=True)
    for path in (ROOT / "prompts/synthesize_skillmix").glob("*.md"):
        (theirs / path.name).write_text(path.read_text().replace("instruction", "WRONG"))
    return tmp_path


def command(installed: Path, cwd: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the installed console script."""
    env = environment(PYTHONPATH=str(installed), PYTHONDONTWRITEBYTECODE="1")
    script = [sys.executable, str(installed / "bin" / "prefmill"), *args]
    return subprocess.run(script, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


def test_the_wheel_holds_packages_data_and_type_marker_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {n.split("/")[0] for n in names if ".dist-info" not in n}
    assert tops == {"pipeline", "stages"} and "pipeline/py.typed" in names
    shipped = {n.removeprefix("pipeline/_data/") for n in names if n.startswith("pipeline/_data/")}
    ours = {str(p.relative_to(ROOT)) for d in ("prompts", "data_cards") for p in (ROOT / d).rglob("*") if p.is_file()}
    assert shipped == ours
    assert not [n for n in names if n.endswith(".pyc") or "test" in Path(n).name and n != "pipeline/testing.py"]


def test_the_command_imports_the_installed_packages(installed, hostile):
    code = "import pipeline, stages; print(pipeline.__file__, stages.__file__)"
    env = environment(PYTHONPATH=str(installed))
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=hostile, env=env, capture_output=True, text=True)
    assert [Path(p).parent.parent for p in done.stdout.split()] == [installed, installed], done.stderr


def test_prompts_shows_our_templates_and_not_those_of_the_current_folder(installed, hostile):
    listed = command(installed, hostile, "prompts")
    assert listed.returncode == 0, listed.stderr
    path = sorted((ROOT / "prompts/synthesize_skillmix").glob("*.md"))[0]
    shown = command(installed, hostile, "prompts", f"synthesize_skillmix/{path.stem}")
    assert shown.stdout.rstrip("\n") == path.read_text().rstrip("\n")
    assert "WRONG" not in listed.stdout + shown.stdout


def test_a_scripted_recipe_runs_from_a_folder_with_a_pipeline_of_its_own(installed, hostile):
    stages = [
        {"id": "domains", "use": "load_domains", "with": {"domains": ["tea"]}},
        {"id": "skills", "use": "extract_skills", "roles": {"generator": "script"}, "max_reject_rate": 1.0},
    ]
    write_recipe(hostile, stages, {"script": {"kind": "scripted"}})
    done = command(installed, hostile, "run", "recipe.yaml")
    assert done.returncode == 6, done.stdout + done.stderr
    assert command(installed, hostile, "verify", "runs/test").returncode == 0
    assert sorted(os.listdir(hostile)) == ["pipeline", "prompts", "recipe.yaml", "runs", "stages"]


def test_doctor_and_stages_and_schema_work_from_the_wheel(installed, hostile):
    for name in ("doctor", "stages", "schema"):
        done = command(installed, hostile, name)
        assert done.returncode == 0 and done.stdout, done.stderr


def test_a_package_that_shadows_ours_is_named(installed, hostile):
    (hostile / "pipeline").rename(hostile / "elsewhere")
    (hostile / "stages" / "__init__.py").write_text("")
    env = environment(PYTHONPATH=f"{hostile}:{installed}")
    script = [sys.executable, str(installed / "bin" / "prefmill"), "doctor"]
    done = subprocess.run(script, cwd=hostile, env=env, capture_output=True, text=True)
    assert done.returncode == 1 and f"'stages' from '{hostile}'" in done.stderr and "Traceback" not in done.stderr
