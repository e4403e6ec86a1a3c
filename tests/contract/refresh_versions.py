"""Rewrite `stage_versions.json`: run `python tests/contract/refresh_versions.py` after a change that keeps behaviour.

A change that alters what a stage returns for equal inputs raises the stage's `version` as well.
"""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path

from pipeline.registry import STAGES, registered, stage_class

LOCK = Path(__file__).with_name("stage_versions.json")
ROOT = Path(__file__).resolve().parents[2]
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def own_stages():
    """Return name to class of the stages that prefmill ships."""
    entries = registered(STAGES).values()
    return {e.name: stage_class(e.name, "test") for e in entries if e.target.startswith("stages.")}


def syntax_digest(path):
    """Return the digest of a module's syntax tree without docstrings: comments and layout do not count."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def modules_of(target):
    """Return the module of a stage and the siblings under `stages` that it imports, directly or not."""
    found, todo = set(), [target]
    while todo:
        name = todo.pop()
        path = ROOT / (name.replace(".", "/") + ".py")
        if name in found or not path.is_file():
            continue
        found.add(name)
        tree = ast.parse(path.read_text("utf-8"))
        todo += [
            n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("stages.")
        ]
    return sorted(found)


def current():
    """Return, per stage, its version and the digests of the modules it is made of."""
    out = {}
    for name, cls in own_stages().items():
        modules = modules_of(cls.__module__)
        out[name] = {
            "version": cls.version,
            "modules": {m: syntax_digest(ROOT / (m.replace(".", "/") + ".py")) for m in modules},
        }
    return out


if __name__ == "__main__":
    LOCK.write_text(json.dumps(current(), indent=1, sort_keys=True) + "\n", "utf-8")
    print(f"wrote {LOCK}")
