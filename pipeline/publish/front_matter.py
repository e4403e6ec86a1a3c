"""The YAML front matter of a data card, made only by huggingface_hub, so that no text can break out of a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.publish.splits import SplitFiles
from pipeline.types import Json

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGER = ((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))
_TAGS = ("synthetic", "preference", "dpo", "trl", "prefmill")


@dataclass(frozen=True, slots=True)
class ConfigFiles:
    """One config as written: a table with its splits."""

    name: str
    folder: str
    schema: pa.Schema
    splits: Sequence[SplitFiles]
    file_bytes: int
    """Size of its files on disk."""


def size_category(rows: int) -> str:
    """Return the Hub's word for a number of rows."""
    return next((word for limit, word in _SIZES + _LARGER if rows < limit), "1B<n<10B")


def front_matter(dataset: Mapping[str, Json], name: str, configs: Sequence[ConfigFiles]) -> str:
    """Return the YAML between the `---` lines.

    Args:
        dataset: the recipe's section `dataset`, as recorded.
        name: the run's name, for a data set without `pretty_name`.
        configs: the first is the default one.
    """
    from huggingface_hub import DatasetCardData

    card = DatasetCardData(
        license=dataset["license"],
        language=list(dataset["language"]) or None,
        annotations_creators=["machine-generated"],
        size_categories=[size_category(sum(s.rows for s in configs[0].splits))],
        task_categories=["text-generation", "reinforcement-learning"],
        pretty_name=pretty_name(dataset, name),
        tags=list(dict.fromkeys([*_TAGS, *dataset["tags"]])),
        configs=[_config(c, default=c is configs[0]) for c in configs],
    )
    _infos(configs).to_dataset_card_data(card)
    return str(card.to_yaml())


def pretty_name(dataset: Mapping[str, Json], name: str) -> str:
    """Return the title on one line."""
    return " ".join(str(dataset["pretty_name"] or name).split())


def _config(config: ConfigFiles, default: bool) -> dict[str, Json]:
    files = [{"split": s.name, "path": f"{config.folder}/{s.name}-*.parquet"} for s in config.splits]
    return {"config_name": config.name, "data_files": files, **({"default": True} if default else {})}


def _infos(configs: Sequence[ConfigFiles]) -> Json:
    from datasets import DatasetInfo, Features, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict

    infos = {}
    for config in configs:
        splits = SplitDict()
        for split in config.splits:
            splits.add(SplitInfo(split.name, num_bytes=split.memory_bytes, num_examples=split.rows))
        infos[config.name] = DatasetInfo(
            features=Features.from_arrow_schema(config.schema),
            splits=splits,
            download_size=config.file_bytes,
            dataset_size=sum(s.memory_bytes for s in config.splits),
            config_name=config.name,
        )
    return DatasetInfosDict(infos)


def hub_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema with the metadata by which `datasets` reads back equal features."""
    from datasets import Features

    return Features.from_arrow_schema(schema.remove_metadata()).arrow_schema
