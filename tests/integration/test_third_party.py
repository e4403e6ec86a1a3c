"""A package of a third party, installed with pip, is a citizen of equal rights and equal duties."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.harness import ROOT, environment, prefmill, register, rejects, rows, view_of, write_recipe

PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
SOURCE = {"id": "domains", "use": "load_domains", "with": {"domains": ["tea", "clouds"]}}
TITLE = {"id": "titles", "use": "acme_title", "roles": {"writer": "polly"}}
PARROT = {"polly": {"kind": "acme_parrot", "times": 2}}


def install(into: Path, source: Path) -> Path:
    """Install a package into a folder of its own, from a copy, so that nothing is written into the repository."""
    copy = into.parent / f"source-of-{into.name}"
    if source != copy:
        shutil.copytree(source, copy)
    done = subprocess.run([*PIP, "--target", str(into), str(copy)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return into


@pytest.fixture(scope="session")
def packages(tmp_path_factory) -> Path:
    """Install the third party's package in two versions, into `old` and `new`."""
    base = tmp_path_factory.mktemp("third-party")
    install(base / "old", ROOT / "tests/third_party")
    bumped = shutil.copytree(ROOT / "tests/third_party", base / "source-of-new")
    project = bumped / "pyproject.toml"
    project.write_text(project.read_text().replace('version = "1.4.0"', 'version = "1.5.0"'))
    install(base / "new", bumped)
    return base


def on_path(*folders: Path) -> dict[str, str]:
    return environment(PYTHONPATH=":".join(map(str, folders)))


def test_its_stages_are_listed_with_package_and_description_though_one_cannot_be_imported(tmp_path, packages):
    listed = prefmill(tmp_path, "stages", env=on_path(packages / "old"))
    assert listed.returncode == 0, listed.stderr
    assert re.search(r"^acme_title +1 +acme-prefs +Adds a title\.$", listed.stdout, re.MULTILINE)
    assert re.search(r"^acme_broken +\? +acme-prefs +.*cannot be imported", listed.stdout, re.MULTILINE)
    assert "score_logprobs" in listed.stdout
    shown = prefmill(tmp_path, "stages", "acme_title", env=on_path(packages / "old"))
    assert "longest: default 200" in shown.stdout and "title.too_long" in shown.stdout


def test_its_stage_runs_with_its_engine_and_its_template_and_its_options_are_checked(tmp_path, packages):
    env = on_path(packages / "old")
    write_recipe(tmp_path, [SOURCE, TITLE], PARROT)
    assert prefmill(tmp_path, "validate", "recipe.yaml", env=env).stdout.startswith("ok:")
    done = prefmill(tmp_path, "run", "recipe.yaml", env=env)
    assert done.returncode == 0, done.stderr
    assert [r["title"] for r in rows(tmp_path, "titles")] == [
        f"Squawk about {d}! Squawk about {d}!" for d in ("tea", "clouds")
    ]
    wrong = prefmill(tmp_path, "validate", "recipe.yaml", "--set", "stages.titles.with.longst=3", env=env)
    assert wrong.returncode == 2 and "'longst'" in wrong.stderr and "Did you mean 'longest'?" in wrong.stderr
    wrong = prefmill(tmp_path, "validate", "recipe.yaml", "--set", "engines.polly.times=often", env=env)
    assert wrong.returncode == 2 and "engines.polly" in wrong.stderr


def test_its_rejects_are_kept_with_its_code(tmp_path, packages):
    write_recipe(tmp_path, [SOURCE, {**TITLE, "with": {"longest": 35}, "max_reject_rate": 0.5}], PARROT)
    assert prefmill(tmp_path, "run", "recipe.yaml", env=on_path(packages / "old")).returncode == 6
    assert [r["code"] for r in rejects(tmp_path, "titles")] == ["title.too_long"]


def test_a_newer_package_refuses_to_continue_an_older_ones_run_and_names_the_package(tmp_path, packages):
    write_recipe(tmp_path, [SOURCE, TITLE], PARROT)
    assert prefmill(tmp_path, "run", "recipe.yaml", env=on_path(packages / "old")).returncode == 0
    documents = {i: s.document for i, s in view_of(tmp_path).stages.items()}
    assert (documents["domains"]["package"], documents["titles"]["package"]) == (None, "acme-prefs==1.4.0")
    refused = prefmill(tmp_path, "run", "recipe.yaml", env=on_path(packages / "new"))
    assert (
        refused.returncode == 3
        and "'titles' changed in package (acme-prefs==1.4.0 -> acme-prefs==1.5.0)" in refused.stderr
    )
    again = prefmill(tmp_path, "run", "recipe.yaml", "--resume", "recompute", env=on_path(packages / "new"))
    assert again.returncode == 0 and view_of(tmp_path).stages["titles"].document["package"] == "acme-prefs==1.5.0"


def test_one_name_claimed_by_two_distributions_is_an_error_that_names_both(tmp_path, packages):
    rival = register(tmp_path / "rival", {"acme_title": "rival.title:Title"}, distribution="rival-prefs")
    write_recipe(tmp_path, [SOURCE, TITLE], PARROT)
    done = prefmill(tmp_path, "run", "recipe.yaml", env=on_path(packages / "old", rival))
    assert done.returncode == 2 and "'acme_title' is claimed by" in done.stderr
    assert "'acme-prefs'" in done.stderr and "'rival-prefs'" in done.stderr and "Traceback" not in done.stderr


def test_a_claim_on_one_of_our_own_names_is_an_error_too(tmp_path):
    rival = register(tmp_path / "rival", {"score_logprobs": "rival:Score"}, distribution="rival-prefs")
    done = prefmill(tmp_path, "stages", env=on_path(rival))
    assert done.returncode == 2 and "'prefmill'" in done.stderr and "'rival-prefs'" in done.stderr


def test_a_plug_in_that_cannot_be_imported_fails_only_the_recipe_that_uses_it(tmp_path, packages):
    env = on_path(packages / "old")
    write_recipe(tmp_path, [SOURCE, {"id": "x", "use": "acme_broken"}])
    done = prefmill(tmp_path, "run", "recipe.yaml", env=env)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "'acme_broken' of 'acme-prefs' cannot be imported" in done.stderr
    assert "a_package_that_nobody_has" in done.stderr
    write_recipe(tmp_path, [SOURCE, TITLE], PARROT)
    assert prefmill(tmp_path, "run", "recipe.yaml", env=env).returncode == 0


CHECK = """
from acme_prefs.parrot import AcmeParrot, AcmeParrotConfig
from acme_prefs.title import AcmeTitle, AcmeTitleConfig
from pipeline.testing import check_stage, process_row, raises_row_error
row = {"id": "a", "domain": "tea"}
check_stage(AcmeTitle(AcmeTitleConfig()), row)
strict = AcmeTitle(AcmeTitleConfig(longest=3))
raises_row_error("title.too_long", lambda: process_row(strict, row))
said = process_row(AcmeTitle(AcmeTitleConfig()), row, engines={"writer": AcmeParrot(AcmeParrotConfig())})
assert said[0]["title"] == "Squawk about tea!", said
"""


def test_our_contract_suite_passes_on_its_stage_in_one_line(tmp_path, packages):
    command = [sys.executable, "-W", "error", "-c", CHECK]
    done = subprocess.run(command, cwd=tmp_path, env=on_path(packages / "old"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
