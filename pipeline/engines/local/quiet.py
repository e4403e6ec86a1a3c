"""Keep transformers from talking while it loads or unpacks a model; everything is put back afterwards."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence progress bars and notices of transformers while loading, and put them back afterwards."""
    from transformers.utils import logging as hf_logging

    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.ERROR)
    hf_logging.disable_progress_bar()  # also those of huggingface_hub
    try:
        with warnings.catch_warnings():
            for name in ("transformers", "torch", "gguf", "huggingface_hub", "accelerate"):
                warnings.filterwarnings("ignore", module=rf"{name}(\..*)?$")
            yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()


@contextlib.contextmanager
def no_unpacking_bar() -> Iterator[None]:
    """Take away the progress bar of GGUF unpacking, which no setting of transformers turns off."""
    try:
        from transformers import modeling_gguf_pytorch_utils as unpacking
    except ImportError:  # another version keeps it elsewhere: a bar does no harm
        yield
        return
    bar = getattr(unpacking, "tqdm", None)
    unpacking.tqdm = lambda items, **_: items
    try:
        yield
    finally:
        unpacking.tqdm = bar
