"""Find for the responses of a prompt how likely each is better than each other: a general preference, not a score.

Papers: SPPO, arXiv:2405.00675 (win rates as estimates of P(response beats the policy)); INPO, arXiv:2407.00617 (pairs
by a tournament, general oracle); Nash learning from human feedback, arXiv:2312.00886 (the mixture nobody beats). Both
orders are always asked and averaged, so that a liking for a place cancels; COMAL asks all ordered pairs too. The
stage does not know what the policy is, and knows nothing of responses that were not sampled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.api import (
    CHAT,
    CHOICE,
    CLASSIFY,
    JSON_SCHEMA,
    MESSAGES,
    SCORE_TOKENS,
    Factor,
    Reject,
    ReportTable,
    Row,
    RowError,
    RowStage,
    StageBooks,
    StageConfig,
    StageContext,
    columns,
)
from stages.preference.comparing import Candidate, Comparer, Judge, JudgeOptions, Ranker, Verdict
from stages.preference.comparison_replies import words
from stages.preference.list_columns import ColumnName
from stages.preference.preference_matrix import from_scores, symmetrise
from stages.preference.rated_group import (
    RATED,
    Comparisons,
    full_columns,
    knockout_columns,
    no_comparisons,
    play,
    too_little_known,
)
from stages.preference.tournament import Undecided

_OF_JUDGE = (
    "verdict",
    "allow_ties",
    "temperature",
    "max_tokens",
    "attempts",
    "max_prompt_characters",
    "max_response_characters",
)
_TAKEN = ("id", "prompt_id", "prompt", "response_ids", "responses", *RATED.names)
_CAPABILITIES = {"choices": CHOICE, "scoring": SCORE_TOKENS}
_OPTIONAL: Mapping[str, Sequence[str]] = {"word": (CHOICE,), "reasoned": (JSON_SCHEMA,)}
_BRACKET = 1 << 31
"""Draw of the seed that orders the tournament."""


_LESS_ONE = Factor("n - 1", base="n", of=lambda n: n - 1)
_BOTH_BRACKETS = Factor("n + n/2 - 2", base="n", of=lambda n: n - 1 + max(0, n // 2 - 1))
"""The bracket for the best, and one among those who lost their first comparison (half of them, rounded down)."""


class RatePreferencesConfig(StageConfig):
    """Options of `rate_preferences`."""

    oracle: Literal["judge", "ranker", "scores"] = "judge"
    """Who says which of two responses is better: a chat model, a pair ranker, or scores by Bradley-Terry."""
    scores: ColumnName = "reward"
    """Oracle `scores`: the list column with one score per response."""
    tournament: Literal["full", "knockout"] = "full"
    """`full` compares all pairs, n (n - 1) requests; `knockout` finds best and worst with about 2n to 3n requests."""
    losers_bracket: bool = False
    """`knockout`: let the losers of the first round play for the last place; else the worst is who lost the final."""
    self_comparison: Literal["include", "exclude"] = "include"
    """Whether a response's 0.5 against itself counts in its win rate, as it does in SPPO's code."""
    verdict: Verdict = "word"
    """`word`: a reply of one word, held to one by an engine that can choose among texts. `reasoned`: a sentence or two
    of reason first. `choices` and `scoring` take the probabilities of the words instead of one of them, by an engine
    that chooses among texts (capability `choice`), or by scoring each word as a reply (capability `score_tokens`, two
    or three requests): a small model mostly says the same word, and differs in how surely."""
    allow_ties: bool = True
    temperature: float = Field(0.0, ge=0)
    max_tokens: int = Field(256, ge=1)
    attempts: int = Field(1, ge=1, le=1000)
    """Requests at most for one order of two responses; more than one makes sense with a temperature above 0."""
    max_prompt_characters: int | None = Field(None, ge=100)
    """Turns are left out from the oldest on where a conversation is longer; `preference_cut` says so."""
    max_response_characters: int | None = Field(None, ge=100)

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        plain = type(self).model_fields
        if self.oracle != "judge":
            given = [name for name in _OF_JUDGE if getattr(self, name) != plain[name].default]
            if given:
                raise ValueError(f"{', '.join(given)} belongs to oracle 'judge'; leave it out, or set oracle: judge")
        if self.oracle != "scores" and self.scores != plain["scores"].default:
            raise ValueError("scores belongs to oracle 'scores'; leave it out, or set oracle: scores")
        if self.scores in _TAKEN:
            raise ValueError(f"scores names '{self.scores}', which holds something else; name the list of scores")
        if self.oracle == "scores" and self.tournament == "knockout":
            raise ValueError("scores are all there already; a knockout saves nothing. Set tournament: full")
        if self.losers_bracket and self.tournament == "full":
            raise ValueError("losers_bracket belongs to tournament 'knockout'; leave it out, or set it")
        drawn = [n for n in ("temperature", "attempts") if getattr(self, n) != plain[n].default]
        if self.verdict in ("choices", "scoring") and drawn:
            raise ValueError(f"{drawn[0]} belongs to verdicts that are drawn; leave it out for verdict {self.verdict}")
        return self


class RatePreferences(RowStage):
    """Adds to a row of `group_responses` what is known of its n responses against each other.

    `preference_matrix`: P(i beats j), 0.5 on the diagonal, null where not both orders gave a verdict. `win_rates`: its
    row means over what is known; `compared`: over how many others. `raw_verdicts`: the replies in the order of ordered
    pairs (0,1), (0,2), ..., (1,0), ...; log-probabilities of the words where those are taken; empty with scores.
    `comparisons`: pairs with a verdict in both orders; `position_flips`: pairs whose two orders preferred the response
    in the same place; `unreadable`: orders without a usable verdict after all attempts. `intransitive_triples`: share
    of triples that go round in a circle, among those without a tie. `nash_mixture`: weights that no response beats,
    `nash_value` what they win at least (0.5); null unless all pairs are known. `best_id`, `worst_id`: by win rate, of
    equals the id that sorts first, or by the tournament; `bracket`: its comparisons. A tournament leaves win rates and
    mixture null. With scores nobody is asked: `comparisons`, `position_flips` and `unreadable` are 0. Another order of
    the responses orders the lists otherwise, and changes nothing else.

    Reject codes:
        preference.too_few: the row has fewer than two responses.
        preference.unequal_lists: ids, responses or scores are null or of different lengths.
        preference.repeated_id: a response id is null or stands twice.
        preference.empty: a response is null or white space.
        preference.nonfinite: a score is null, NaN or infinite.
        preference.unreadable: a response lacks a verdict against more than half of the others, or a tournament
            cannot go on; the replies that were read stand under the reject.
    """

    name: ClassVar[str] = "rate_preferences"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = RatePreferencesConfig

    outputs = pa.schema([*RATED, *columns(preference_oracle=str, preference_cut=bool)])

    config: RatePreferencesConfig

    def __init__(self, config: RatePreferencesConfig) -> None:
        """Need the engine of the oracle, or the column of scores."""
        super().__init__(config)
        scores: dict[str, Any] = {config.scores: list[float]} if config.oracle == "scores" else {}
        self.inputs = columns(prompt=MESSAGES, response_ids=list[str], responses=list[str], **scores)
        if config.oracle == "judge":
            self.engine_roles: Mapping[str, str] = {"judge": _CAPABILITIES.get(config.verdict, CHAT)}
            if config.verdict in _OPTIONAL:
                self.optional_capabilities: Mapping[str, Sequence[str]] = {"judge": _OPTIONAL[config.verdict]}
            self.prompt_names: Sequence[str] = ("reasoned.v1" if config.verdict == "reasoned" else "word.v1",)
        elif config.oracle == "ranker":
            self.engine_roles = {"ranker": CLASSIFY}

    def calls(self) -> Mapping[str, Sequence[Factor]]:
        """Count one request for each order of each pair that is compared."""
        if self.config.tournament == "full":
            factors: tuple[Factor, ...] = (Factor("n"), _LESS_ONE)
        else:
            factors = (_BOTH_BRACKETS if self.config.losers_bracket else _LESS_ONE, Factor("orders", 2))
        if self.config.verdict == "scoring":
            factors += (Factor("words", len(words(self.config.allow_ties))),)
        return dict.fromkeys(self.engine_roles, factors)

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Compare the responses of one prompt."""
        candidates = _candidates(row)
        if self.config.oracle == "scores":
            return [self._from_scores(row, candidates)]
        comparer: Comparer
        if self.config.oracle == "judge":
            comparer, model = Judge(ctx, row["prompt"], self._judge_options()), ctx.engine("judge").model
        else:
            comparer, model = Ranker(ctx, row["prompt"]), ctx.engine("ranker").model
        comparisons = Comparisons(candidates, comparer)
        if self.config.tournament == "full":
            found = await self._full(comparisons, candidates)
        else:
            found = await self._knockout(comparisons, candidates, ctx.seed(row["id"], _BRACKET))
        if isinstance(found, str):
            text = f"{comparisons.complaint()}; {found}"
            return [Reject({**row, **comparisons.columns()}, "preference.unreadable", text)]
        return [{**row, **found, **comparisons.columns(), "preference_oracle": model, "preference_cut": comparer.cut}]

    async def _full(self, comparisons: Comparisons, candidates: Sequence[Candidate]) -> Row | str:
        await comparisons.ask_all()
        matrix = symmetrise(comparisons.ordered())
        if too_little_known(matrix):
            return "a response lacks more than half of its comparisons"
        return full_columns(matrix, candidates, self.config.self_comparison == "include")

    async def _knockout(self, comparisons: Comparisons, candidates: Sequence[Candidate], seed: int) -> Row | str:
        try:
            outcome = await play(comparisons, candidates, seed, self.config.losers_bracket)
        except Undecided:
            return "the tournament cannot go on"
        return knockout_columns(outcome, comparisons, candidates)

    def _from_scores(self, row: Row, candidates: Sequence[Candidate]) -> Row:
        values = row[self.config.scores]
        if values is None or len(values) != len(candidates):
            raise RowError("preference.unequal_lists", f"'{self.config.scores}' is null or not as long as responses")
        if not all(v is not None and math.isfinite(v) for v in values):
            raise RowError("preference.nonfinite", f"a value of '{self.config.scores}' is null, NaN or infinite")
        matrix = from_scores(np.array(values, dtype=np.float64))
        found = full_columns(matrix, candidates, self.config.self_comparison == "include")
        oracle = f"scores: {self.config.scores}"
        return {**row, **found, **no_comparisons(), "preference_oracle": oracle, "preference_cut": False}

    def _judge_options(self) -> JudgeOptions:
        return JudgeOptions(**{name: getattr(self.config, name) for name in _OF_JUDGE})

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Say how far the oracle can be trusted: verdicts that follow the place, unreadable ones, circles."""
        names = ["comparisons", "position_flips", "unreadable", "intransitive_triples"]
        pairs = flips = unreadable = 0
        circles: list[float] = []
        for batch in books.rows(names):
            values = [batch.column(name).to_pylist() for name in names]
            pairs, flips, unreadable = pairs + sum(values[0]), flips + sum(values[1]), unreadable + sum(values[2])
            circles += [v for v in values[3] if v is not None]
        rows = (
            ("pairs compared in both orders", pairs),
            ("share of them that followed the place", round(flips / pairs, 4) if pairs else None),
            ("requests without a usable verdict", unreadable),
            ("mean share of triples in a circle", round(sum(circles) / len(circles), 4) if circles else None),
        )
        note = "A verdict follows the place if both orders prefer the response shown first, or both the second."
        return (ReportTable("Preferences between responses", ("", "value"), rows, note),)


def _candidates(row: Row) -> list[Candidate]:
    ids, texts = row["response_ids"], row["responses"]
    if ids is None or texts is None or len(ids) != len(texts):
        raise RowError("preference.unequal_lists", "response_ids or responses is null, or their lengths differ")
    if None in ids or len(set(ids)) < len(ids):
        raise RowError("preference.repeated_id", "a response id is null or stands twice; expected each once")
    if len(ids) < 2:
        raise RowError("preference.too_few", f"{len(ids)} responses; expected at least 2")
    if not all((text or "").strip() for text in texts):
        raise RowError("preference.empty", "a response is null or white space")
    return [Candidate(i, text) for i, text in zip(ids, texts, strict=True)]
