"""The rules of the house that a machine can check: who imports whom, what is never imported, how long a file is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "stages").rglob("*.py")])
CONTRACT = {
    "sandbox",
    "api",
    "canonical",
    "errors",
    "ids",
    "intervals",
    "plain_yaml",
    "prompts",
    "quoting",
    "registry",
    "schema",
    "stage",
    "testing",
    "types",
}
"""The modules directly under `pipeline`; all of them may be imported from anywhere in it."""
ENGINE_PARTS = (
    "pipeline.engines.http",
    "pipeline.engines.local",
    "pipeline.engines.batching",
    "pipeline.engines.retry",
    "pipeline.engines.openai",
    "pipeline.engines.transformers",
    "pipeline.engines.scripted",
    "pipeline.engines.vllm",
)
FORBIDDEN = {
    "pipeline": ("stages",),
    "pipeline/plan": (
        "pipeline.run",
        "pipeline.store",
        "pipeline.cli",
        "pipeline.publish",
        "pipeline.audit",
        *ENGINE_PARTS,
    ),
    "pipeline/store": ("pipeline.run", "pipeline.cli", "pipeline.publish", "pipeline.engines"),
    "pipeline/run": ("pipeline.cli", "pipeline.publish", *ENGINE_PARTS),
    "pipeline/engines": (
        "pipeline.plan",
        "pipeline.store",
        "pipeline.run",
        "pipeline.cli",
        "pipeline.publish",
        "pipeline.registry",
        "pipeline.stage",
    ),
    "pipeline/metrics": (
        "pipeline.plan",
        "pipeline.store",
        "pipeline.run",
        "pipeline.cli",
        "pipeline.publish",
        "pipeline.engines",
        "pipeline.stage",
    ),
    "pipeline/audit": ("pipeline.cli", "pipeline.run", *ENGINE_PARTS),
    "pipeline/publish": ("pipeline.cli", "pipeline.run", *ENGINE_PARTS),
}
EXCEPTIONS = {("pipeline/cli/main.py", "stages")}
"""The command asks where `stages` lies, to say so when another package of that name is in front of it."""
UNSAFE = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def imports(path):
    """All imported module names, wherever in the file they stand, with `from a import b` as `a.b` too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
    return found


def inside(module, package):
    return module == package or module.startswith(package + ".")


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_point_in_one_direction(folder):
    wrong = [
        (name_of(path), module)
        for path in (ROOT / folder).rglob("*.py")
        for module in imports(path)
        if any(inside(module, p) for p in FORBIDDEN[folder]) and (name_of(path), module) not in EXCEPTIONS
    ]
    assert not wrong


def test_stages_import_the_public_surface_and_their_own_modules_only():
    ours = [(name_of(p), m) for p in (ROOT / "stages").rglob("*.py") for m in imports(p) if inside(m, "pipeline")]
    assert ours and not [(p, m) for p, m in ours if m != "pipeline" and not inside(m, "pipeline.api")]


def test_the_contract_modules_import_no_layer_above_them():
    above = ("pipeline.plan", "pipeline.store", "pipeline.run", "pipeline.cli", "pipeline.publish")
    wrong = [(p.stem, m) for p in (ROOT / "pipeline").glob("*.py") for m in imports(p) if m.startswith(above)]
    assert not wrong


def test_every_module_directly_under_pipeline_belongs_to_the_contract():
    assert {p.stem for p in (ROOT / "pipeline").glob("*.py")} - {"__init__", "objectives"} <= CONTRACT


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_keeps_the_rules_of_the_house(path):
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    relative = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level]
    loads = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n) == "torch.load"]
    assert not relative and not loads
    assert not {m.split(".")[0] for m in imports(path)} & UNSAFE
    assert len(text.splitlines()) < 400
    assert path.stem not in ("utils", "helpers", "manager", "common", "misc")
    assert ast.get_docstring(tree)
