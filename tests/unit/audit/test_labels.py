"""Labels are looked for before anything is judged, in whatever source a recipe has."""

import pyarrow as pa
import pytest

from pipeline.api import Reject, Source, StageConfig
from pipeline.audit.labels import check_labels
from pipeline.errors import PrerequisiteError, StageBug
from pipeline.plan.plan import PlannedStage

ROW = {"id": "q-0", "prompt_id": "q", "response": "Yes.", "label": 1.0, "subset": "s"}


class Given(Source):
    """Gives batches made in a test, and raises an exception where one is among them."""

    name, version, config_type = "given", 1, StageConfig

    def __init__(self, *parts):
        super().__init__(StageConfig())
        self.parts = parts

    def partitions(self):
        return ["all"]

    def digest(self):
        return {}

    def read(self, partition):
        for part in self.parts:
            if isinstance(part, Exception):
                raise part
            yield part if isinstance(part, Reject) else pa.RecordBatch.from_pylist(part)


def planned(*parts):
    return PlannedStage("labelled", Given(*parts), None, {}, {}, pa.schema([]), pa.schema([]), 1.0)


def test_an_item_may_come_in_several_batches_and_is_enough():
    later = ROW | {"id": "q-1", "label": 0.0}
    assert check_labels(planned([ROW], [later], RuntimeError("not read")), None) is None


def test_the_limit_holds_over_batches():
    with pytest.raises(PrerequisiteError, match="--limit 1 counts rows"):
        check_labels(planned([ROW], [ROW | {"id": "q-1", "label": 0.0}]), 1)


def test_rows_that_the_runner_gives_ids_are_left_to_the_run():
    assert check_labels(planned([{k: v for k, v in ROW.items() if k != "id"}]), None) is None


def test_the_first_reject_is_told():
    with pytest.raises(PrerequisiteError, match="1 records are rejects, the first: own.bad: no text"):
        check_labels(planned(Reject({}, "own.bad", "no text")), None)


def test_a_source_that_breaks_is_a_bug_of_the_source():
    with pytest.raises(StageBug, match="source 'labelled' raised KeyError"):
        check_labels(planned(KeyError("x")), None)
