"""Every golden case gives what was recorded; `python tests/golden/regenerate.py` records anew."""

import json
import runpy
from pathlib import Path

import pytest

TOOL = runpy.run_path(str(Path(__file__).with_name("regenerate.py")))
CASES = TOOL["cases"]()


@pytest.mark.parametrize("folder", CASES, ids=lambda f: str(f.relative_to(TOOL["HERE"])))
def test_case_gives_the_recorded_rows_and_rejects(folder):
    expected = json.loads((folder / "expected.json").read_text("utf-8"))
    assert json.dumps(TOOL["compute"](folder), indent=1) == json.dumps(expected, indent=1)


def test_every_stage_of_ours_has_a_case():
    from pipeline.registry import STAGES, registered

    ours = {e.name for e in registered(STAGES).values() if e.target.startswith("stages.")}
    assert ours == {TOOL["stage_of"](folder).name for folder in CASES}
