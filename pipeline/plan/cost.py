"""How many requests a plan will make: products of factors, followed from the sources down, exact where all are known.

A stage states how many rows it makes of one and how many requests it makes for one (`Stage.yields`, `Stage.calls`).
This module multiplies. It knows nothing of tokens, prices or time: those need a probe (`pipeline/run/probe.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.plan.plan import Plan, PlannedStage
from pipeline.stage import Factor, Source


@dataclass(frozen=True, slots=True)
class Quantity:
    """A product of factors.

    Attributes:
        factors: their names are the formula; one without a value makes the whole unknown.
        at_most: rows may be fewer for reasons other than rejects.
    """

    factors: tuple[Factor, ...]
    at_most: bool = False

    @property
    def formula(self) -> str:
        """Return the factors' names as a product."""
        return " x ".join(f"({f.name})" if " " in f.name else f.name for f in self.factors)

    @property
    def value(self) -> float | None:
        """Return the product, None if a factor is not known before the run."""
        product = 1.0
        for factor in self.factors:
            if factor.value is None:
                return None
            product *= factor.value
        return product


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one role of one stage is asked.

    Attributes:
        stage_id: the stage.
        role: the role.
        engine: the engine bound to it.
        calls: requests, without those that ask again.
    """

    stage_id: str
    role: str
    engine: str
    calls: Quantity


@dataclass(frozen=True, slots=True)
class _Flow:
    """Rows of a stage, and all factors that were stated on the way to it, for later ones without a value."""

    rows: Quantity
    stated: Mapping[str, float | None]
    fan_outs: tuple[tuple[Factor, ...], ...] = ()


def plan_costs(plan: Plan, counts: Mapping[str, int | None]) -> list[StageCost]:
    """Return the requests of every role, in the plan's order.

    Args:
        plan: the checked plan.
        counts: rows of each source by stage id; None where they were not counted.
    """
    flows: dict[str, _Flow] = {}
    costs: list[StageCost] = []
    for planned in plan.stages.values():
        upstream = flows[planned.upstream] if planned.upstream else None
        if upstream is not None:
            costs += _costs(planned, upstream)
        flows[planned.id] = _flow(planned, upstream, counts)
    return costs


def _costs(planned: PlannedStage, upstream: _Flow) -> list[StageCost]:
    asked = planned.stage.calls()
    out = []
    for role, engine in planned.roles.items():
        factors = tuple(_known(f, upstream.stated) for f in asked.get(role, ()))
        calls = Quantity(upstream.rows.factors + factors, upstream.rows.at_most)
        out.append(StageCost(planned.id, role, engine, calls))
    return out


def _flow(planned: PlannedStage, upstream: _Flow | None, counts: Mapping[str, int | None]) -> _Flow:
    if upstream is None or isinstance(planned.stage, Source):
        count = counts.get(planned.id)
        factor = Factor(planned.id, None if count is None else float(count))
        return _Flow(Quantity((factor,)), {factor.name: factor.value})
    made = planned.stage.yields()
    if made.total is not None:
        return _Flow(Quantity((made.total,)), {**upstream.stated, made.total.name: made.total.value})
    factors, fan_outs = upstream.rows.factors, upstream.fan_outs
    if made.per_prompt and fan_outs:
        factors, fan_outs = factors[: len(factors) - len(fan_outs[-1])], fan_outs[:-1]
    new = tuple(_known(f, upstream.stated) for f in made.factors)
    stated = {**upstream.stated, **{f.name: f.value for f in new}}
    at_most = upstream.rows.at_most or made.at_most
    return _Flow(Quantity(factors + new, at_most), stated, (*fan_outs, new) if new else fan_outs)


def _known(factor: Factor, stated: Mapping[str, float | None]) -> Factor:
    """Give a factor without a value the one that an earlier stage stated under its name, or what follows from it."""
    base = stated.get(factor.base or factor.name)
    if factor.value is not None or base is None:
        return factor
    return Factor(factor.name, factor.of(base) if factor.of else base)
