"""Tells each stage of a plan which stages make its columns, so that it can refuse what does not fit together.

What fits is a stage's own business (`Stage.check_makers`). Files of tokenizers may be read here; no model is loaded.
"""

from __future__ import annotations

from pipeline.errors import PlanError
from pipeline.plan.plan import Plan, PlannedStage
from pipeline.stage import Maker, Stage, keeps_columns


def check_makers(plan: Plan) -> None:
    """Let every stage that cares look at the makers of its columns.

    Raises:
        PlanError: with the stage's reason.
    """
    for planned in plan.stages.values():
        if type(planned.stage).check_makers is Stage.check_makers:
            continue
        found = {name: maker_of(plan, planned, name) for name in planned.stage.inputs.names}
        try:
            planned.stage.check_makers({name: maker for name, maker in found.items() if maker is not None})
        except ValueError as e:
            raise PlanError(f"stage '{planned.id}' ({planned.stage.name}): {e}") from None


def maker_of(plan: Plan, reader: PlannedStage, column: str) -> Maker | None:
    """Return the nearest stage upstream of `reader` that makes a column; None if only the runner makes it."""
    name = reader.upstream
    while name is not None:
        planned = plan.stages[name]
        if column in planned.stage.outputs.names:
            tokenizers = {role: plan.engines[engine].tokenizer_digest for role, engine in planned.roles.items()}
            return Maker(planned.id, planned.stage.name, planned.stage.config.fingerprint_fields(), tokenizers)
        name = planned.upstream if keeps_columns(planned.stage) else None
    return None
