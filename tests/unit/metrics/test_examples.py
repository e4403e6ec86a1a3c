import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[3] / "docs/metrics.md"


def test_the_examples_of_the_page_run(capsys):
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, str(DOCS), "exec"), {})
    *_, macro, reward = capsys.readouterr().out.splitlines()
    assert macro.endswith("None") and reward == "-0.5 -0.25"
