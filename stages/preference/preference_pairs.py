"""Make of each prompt's preference matrix the pair that SPPO, INPO or a Nash rule trains on.

Papers: SPPO, arXiv:2405.00675; INPO, arXiv:2407.00617. Column names are those of the official SPPO code
(`chosen_probs`, `chosen_probs_win`, `chosen_probs_lose`) and of 8.1 of our training notes. The stage does not ask
anybody; all it needs stands in the rows of `rate_preferences`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.api import (
    MESSAGES,
    Maker,
    Reject,
    ReportTable,
    Row,
    RowError,
    StageBooks,
    StageConfig,
    StageContext,
    TableResult,
    TableStage,
    Yield,
    columns,
    lineage_id,
)
from stages.preference.list_columns import ColumnName, flat_types, list_types, read_with, refuse_taken
from stages.preference.pair_report import pair_report
from stages.preference.pair_rules import by_mixture, by_win_rate, inpo_margin, mixed_reference, sppo_target
from stages.preference.preference_matrix import EQUAL, FloatArray
from stages.sources.records import ColumnType

Rule = Literal["sppo", "inpo", "nash"]
_PAIR_COLUMNS = columns(
    id=str,
    prompt_id=str,
    prompt=MESSAGES,
    chosen=str,
    rejected=str,
    chosen_id=str,
    rejected_id=str,
    candidates=int,
    rule=str,
    iteration=int,
    preference_prob=float,
    chosen_probs=float,
    chosen_probs_win=float,
    chosen_probs_lose=float,
)
_READ = columns(
    id=str,
    prompt_id=str,
    prompt=MESSAGES,
    response_ids=list[str],
    responses=list[str],
    preference_matrix=list[list[float]],
    win_rates=list[float],
    nash_mixture=list[float],
    best_id=str,
    worst_id=str,
)


class PreferencePairsConfig(StageConfig):
    """Options of `preference_pairs`."""

    rule: Rule = "sppo"
    """`sppo`: highest against lowest win rate. `inpo`: `best_id` against `worst_id`, from a tournament or by win rate.
    `nash`: the most weight in the mixture against the lowest win rate among those that it beats, none above its own."""
    min_margin: float = Field(0.0, ge=0, le=1)
    """Least difference of the two win rates (rules `sppo` and `nash`)."""
    iteration: int = Field(1, ge=1)
    """Which round of training the policy that sampled the responses belongs to; written into every row."""
    eta: float | None = Field(None, gt=0)
    """Adds what the trainer aims at, in nats. `sppo`: `target_chosen` and `target_rejected`, eta (p - 1/2), where eta
    is 1/beta (1000 in SPPO's code). `inpo`: `target_margin`, (2p - 1)/(2 eta), null where p is not known; INPO's eta is
    an inverse step (0.0075)."""
    reference_logprobs: ColumnName | None = None
    """List column with log-probabilities under the initial model: `ref_chosen_logps` and `ref_rejected_logps`."""
    previous_logprobs: ColumnName | None = None
    """The same under the policy that sampled the responses: `prev_chosen_logps` and `prev_rejected_logps`."""
    tau_over_eta: float | None = Field(None, ge=0, le=1)
    """Rule `inpo`: adds `mixed_chosen_logps` and `mixed_rejected_logps`, one reference that stands for both."""
    carry: Mapping[ColumnName, ColumnType] = {}
    """Further list columns, with the type of one value: `draw` becomes `chosen_draw` and `rejected_draw`."""
    prompt_columns: Mapping[ColumnName, ColumnType] = {}
    """Columns of the prompt to keep, with their types."""

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        if self.rule == "inpo" and self.min_margin:
            raise ValueError("min_margin compares win rates, which a tournament has not; leave it out for rule inpo")
        if self.rule == "nash" and self.eta is not None:
            raise ValueError("eta belongs to rule sppo or inpo; leave it out for rule nash")
        if self.tau_over_eta is not None and (
            self.rule != "inpo" or self.reference_logprobs is None or self.previous_logprobs is None
        ):
            raise ValueError("tau_over_eta needs rule inpo, reference_logprobs and previous_logprobs; name all three")
        made = {name: "float" for name in self.made_numbers()}
        sides: dict[str, Any] = {f"{side}_{n}": t for n, t in self.carry.items() for side in ("chosen", "rejected")}
        numbers: dict[str, Any] = made
        refuse_taken({"carry": sides, "prompt_columns": self.prompt_columns}, {*_PAIR_COLUMNS.names, *numbers})
        self.read_columns()
        return self

    def logprob_columns(self) -> list[str]:
        """Return the list columns of log-probabilities that are named, each once."""
        return list(dict.fromkeys(n for n in (self.reference_logprobs, self.previous_logprobs) if n is not None))

    def read_columns(self) -> pa.Schema:
        """Return the columns that are read; raises `ValueError` if one would be read as two types."""
        logprobs = dict.fromkeys(self.logprob_columns(), pa.list_(pa.float64()))
        return read_with(_READ, list_types(self.carry), flat_types(self.prompt_columns), logprobs)

    def made_numbers(self) -> list[str]:
        """Return the names of the columns that eta and the log-probabilities add, in order."""
        names: list[str] = []
        if self.eta is not None:
            names += ["target_chosen", "target_rejected"] if self.rule == "sppo" else ["target_margin"]
        for prefix, wanted in (
            ("ref", self.reference_logprobs),
            ("prev", self.previous_logprobs),
            ("mixed", self.tau_over_eta),
        ):
            if wanted is not None:
                names += [f"{prefix}_chosen_logps", f"{prefix}_rejected_logps"]
        return names


class PreferencePairs(TableStage):
    """Makes one pair per prompt; `preference_prob` is P(chosen beats rejected), null where that was not asked.

    `chosen_probs` is the same figure under SPPO's name; where best and worst are found by win rate (`sppo`, and `inpo`
    without a tournament) and the oracle is not transitive, it may be below 1/2, and INPO's `target_margin` below 0.
    `chosen_probs_win` and `chosen_probs_lose` are the win rates of the two; null after a tournament. Of equally good
    responses the one whose id sorts first is taken. Two that are equal but for white space never become a pair.

    Reject codes (the whole prompt):
        pairs.tie: no response is better than another of a different text.
        pairs.margin: the win rates are less than `min_margin` apart.
        pairs.no_rates: the rule needs win rates or a mixture, and the row has none, or only nulls.
        pairs.unequal_lists: a list is null or not as long as `response_ids`, or a best or worst id is not in it.
        pairs.repeated_id: a response id is null or stands twice.
        pairs.nonfinite: a log-probability of the pair is null, NaN or infinite.
    """

    name: ClassVar[str] = "preference_pairs"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = PreferencePairsConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "shard"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "derived"
    lineage: ClassVar[tuple[str, ...]] = ("prompt_id",)

    outputs = _PAIR_COLUMNS

    config: PreferencePairsConfig

    def __init__(self, config: PreferencePairsConfig) -> None:
        """Read the lists and columns that the config names."""
        super().__init__(config)
        self.inputs = config.read_columns()
        carried = flat_types(config.carry)
        made: dict[str, Any] = dict.fromkeys(config.made_numbers(), float)
        made |= {f"{side}_{n}": t for n, t in carried.items() for side in ("chosen", "rejected")}
        self.outputs = pa.schema([*_PAIR_COLUMNS, *columns(**made, **flat_types(config.prompt_columns))])

    def yields(self) -> Yield:
        """Say that a prompt gives one pair at most."""
        return Yield(at_most=True)

    def check_makers(self, makers: Mapping[str, Maker]) -> None:
        """Refuse a tournament upstream of a rule that needs all pairs compared, before anybody is asked.

        Raises:
            ValueError: with what to change.
        """
        rated = makers.get("win_rates")
        if rated is not None and rated.options.get("tournament") == "knockout" and self.config.rule != "inpo":
            raise ValueError(
                f"rule {self.config.rule} needs win rates, and the tournament of stage '{rated.stage_id}' gives none; "
                "set tournament: full there, or rule: inpo here"
            )

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Apply the rule to each prompt."""
        rows: list[Row] = []
        rejects: list[Reject] = []
        for group in table.select(self.inputs.names).to_pylist():
            try:
                rows.append(self._pair(group))
            except RowError as e:
                rejects.append(Reject({"id": group["id"]}, e.code, e.message))
        return TableResult(pa.Table.from_pylist(rows, schema=self.outputs), rejects)

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Say how far apart the pairs are, and how many are against the oracle."""
        return (pair_report(books),)

    def _pair(self, group: Row) -> Row:
        self._check_lists(group)
        chosen, rejected = self._choice(group)
        matrix, rates, ids = group["preference_matrix"], group["win_rates"] or [], group["response_ids"]
        win, lose = (rates[chosen], rates[rejected]) if rates else (None, None)
        if win is not None and win - lose < self.config.min_margin:
            text = f"win rates {win:.6g} and {lose:.6g}; the least difference is {self.config.min_margin:.6g}"
            raise RowError("pairs.margin", text)
        probability = matrix[chosen][rejected]
        return {
            "id": lineage_id("pair", ids[chosen], ids[rejected]),
            "prompt_id": group["prompt_id"],
            "prompt": group["prompt"],
            "chosen": group["responses"][chosen],
            "rejected": group["responses"][rejected],
            "chosen_id": ids[chosen],
            "rejected_id": ids[rejected],
            "candidates": len(ids),
            "rule": self.config.rule,
            "iteration": self.config.iteration,
            "preference_prob": probability,
            "chosen_probs": probability,
            "chosen_probs_win": win,
            "chosen_probs_lose": lose,
            **self._targets(win, lose, probability),
            **self._logprobs(group, chosen, rejected),
            **{f"chosen_{name}": group[name][chosen] for name in self.config.carry},
            **{f"rejected_{name}": group[name][rejected] for name in self.config.carry},
            **{name: group[name] for name in self.config.prompt_columns},
        }

    def _check_lists(self, group: Row) -> None:
        config, ids = self.config, group["response_ids"] or []
        needed = ["response_ids", "responses", "preference_matrix", *config.logprob_columns(), *config.carry]
        for name in (*needed, "win_rates", "nash_mixture"):
            values = group[name]
            if name not in needed and values is None:
                continue
            if values is None or len(values) != len(ids):
                held = "null" if values is None else f"a list of {len(values)}"
                raise RowError("pairs.unequal_lists", f"'{name}' is {held}; expected {len(ids)} values")
        if any(line is None or len(line) != len(ids) for line in group["preference_matrix"]):
            raise RowError("pairs.unequal_lists", f"a line of 'preference_matrix' has not {len(ids)} values")
        if None in ids or len(set(ids)) < len(ids):
            raise RowError("pairs.repeated_id", "a response id is null or stands twice; expected each once")

    def _choice(self, group: Row) -> tuple[int, int]:
        texts = [" ".join((text or "").split()) for text in group["responses"]]
        if self.config.rule == "inpo":
            return self._tournament_ends(group, texts)
        ids, rates, mixture = group["response_ids"], _floats(group["win_rates"]), _floats(group["nash_mixture"])
        if np.isnan(rates).all() or (self.config.rule == "nash" and not _all_known(rates, mixture)):
            raise RowError("pairs.no_rates", f"rule {self.config.rule} needs all pairs compared; see tournament: full")
        if self.config.rule == "sppo":
            found = by_win_rate(rates, texts, ids)
        else:
            matrix = np.array([_floats(line) for line in group["preference_matrix"]])
            found = by_mixture(matrix, mixture, rates, texts, ids)
        if found is None:
            raise RowError("pairs.tie", f"{len(texts)} responses; none is better than one of another text")
        return found

    @staticmethod
    def _tournament_ends(group: Row, texts: list[str]) -> tuple[int, int]:
        ids = group["response_ids"]
        if group["best_id"] not in ids or group["worst_id"] not in ids:
            raise RowError("pairs.unequal_lists", "best_id or worst_id is not among response_ids")
        chosen, rejected = ids.index(group["best_id"]), ids.index(group["worst_id"])
        rates = _floats(group["win_rates"])
        level = len(rates) > 0 and not rates[chosen] > rates[rejected] + EQUAL
        if texts[chosen] == texts[rejected] or level or group["preference_matrix"][chosen][rejected] == 0.5:
            raise RowError("pairs.tie", f"{len(texts)} responses; the best and the worst are equally good or equal")
        return chosen, rejected

    def _targets(self, win: float | None, lose: float | None, probability: float | None) -> Row:
        eta = self.config.eta
        if eta is None:
            return {}
        if self.config.rule == "inpo":
            return {"target_margin": None if probability is None else inpo_margin(probability, eta)}
        return {
            f"target_{side}": None if rate is None else sppo_target(rate, eta)
            for side, rate in (("chosen", win), ("rejected", lose))
        }

    def _logprobs(self, group: Row, chosen: int, rejected: int) -> Row:
        config, out = self.config, {}
        for prefix, name in (("ref", config.reference_logprobs), ("prev", config.previous_logprobs)):
            if name is None:
                continue
            for side, at in (("chosen", chosen), ("rejected", rejected)):
                value = group[name][at]
                if value is None or not math.isfinite(value):
                    raise RowError("pairs.nonfinite", f"'{name}' of the {side} response is {value}; expected nats")
                out[f"{prefix}_{side}_logps"] = value
        if config.tau_over_eta is not None:
            for side in ("chosen", "rejected"):
                both = (out[f"ref_{side}_logps"], out[f"prev_{side}_logps"])
                out[f"mixed_{side}_logps"] = mixed_reference(*both, config.tau_over_eta)
        return out


def _all_known(*arrays: FloatArray) -> bool:
    return all(len(array) > 0 and not np.isnan(array).any() for array in arrays)


def _floats(values: list[float | None] | None) -> FloatArray:
    """Return numbers with NaN for null; none for a list that is null."""
    return np.array([math.nan if v is None else v for v in values or ()], dtype=np.float64)
