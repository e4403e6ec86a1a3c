"""pyarrow works without pandas until somebody imports it, and then as if it had been there from the start."""

from __future__ import annotations

import subprocess
import sys

START = "import sys, pyarrow as pa\nfrom pipeline.store.lazy_pandas import defer_pandas\ndefer_pandas()\n"


def lines(code):
    done = subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_making_arrays_imports_no_pandas():
    assert lines("pa.array([1, None]); pa.Table.from_pylist([{'a': 'x'}]); print('pandas' in sys.modules)") == ["False"]


def test_after_an_import_of_pandas_a_series_is_understood():
    code = (
        "import pandas as pd\nprint(pa.array(pd.Series(['a', None])).null_count, pa.table({'a': [1]}).to_pandas().a[0])"
    )
    assert lines(code) == ["1", "1"]


def test_tables_can_be_turned_into_pandas_by_code_that_imports_it_itself():
    assert lines("pa.array([1])\nprint(type(pa.table({'a': [1]}).to_pandas()).__name__)") == ["DataFrame"]


def test_a_second_call_and_a_call_after_pandas_change_nothing():
    code = "n = len(sys.meta_path); defer_pandas(); print(len(sys.meta_path) - n)\n"
    code += "import pandas as pd; defer_pandas(); print(pa.array(pd.Series([1.0, None])).null_count)"
    assert lines(code) == ["0", "1"]


def test_pandas_keeps_its_own_spec_and_loader():
    spec = "pandas.__spec__.name, pandas.__spec__.origin.endswith('__init__.py'), len(pandas.__path__)"
    code = f"import pandas; print({spec})"
    assert lines(code) == ["pandas", "True", "1"]


def test_it_works_in_this_process_too():
    from pipeline.store.lazy_pandas import defer_pandas

    before = [type(f).__name__ for f in sys.meta_path].count("_NoticePandas")
    defer_pandas()
    after = [type(f).__name__ for f in sys.meta_path].count("_NoticePandas")
    assert after in (before, 1) and after <= 1
