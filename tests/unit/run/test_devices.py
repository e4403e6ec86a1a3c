"""Which devices are seen and how they are shared out among replicas."""

from __future__ import annotations

import pytest

from pipeline.engines.devices import visible_devices
from pipeline.errors import PrerequisiteError
from pipeline.run.devices import place


@pytest.mark.parametrize(
    ("value", "seen"),
    [("0,1", ["0", "1"]), (" 3 , GPU-8f ", ["3", "GPU-8f"]), ("", []), ("-1", []), ("0,-1,2", ["0"])],
)
def test_the_variable_names_the_devices(value, seen):
    assert visible_devices({"CUDA_VISIBLE_DEVICES": value}) == seen


def test_without_the_variable_the_device_files_of_the_machine_count(tmp_path):
    for name in ("nvidia10", "nvidia2", "nvidiactl", "null"):
        (tmp_path / name).touch()
    assert visible_devices({}, tmp_path) == ["2", "10"]
    assert visible_devices({}, tmp_path / "none") == []


def test_as_many_replicas_as_fit_or_fewer_if_asked():
    assert place(["s"], 2, None, ["0", "1", "2", "3", "4"]).replicas == (("0", "1"), ("2", "3"))
    assert place(["s"], 2, 1, ["0", "1", "2", "3"]).replicas == (("0", "1"),)
    assert len(place(["s"], 2, 9, ["0", "1", "2", "3"]).replicas) == 2


def test_engines_without_devices_get_none_unless_devices_are_named():
    assert place(["s"], 0, 3, None).replicas == ((), (), ())
    assert place(["s"], 0, None, None).replicas == ((),)
    assert place(["s"], 0, None, ["5", "6"]).replicas == (("5",), ("6",))


def test_too_few_devices_for_one_replica_are_an_error_that_says_how_many():
    with pytest.raises(PrerequisiteError, match=r"engines of a, b needs 4 devices, but 1 are visible \(7\)"):
        place(["a", "b"], 4, None, ["7"])
