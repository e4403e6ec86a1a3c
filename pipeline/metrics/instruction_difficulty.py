"""How hard instructions are, estimated jointly from many systems judged on them.

Paper: arXiv:2404.04475; tatsu-lab/alpaca_eval, `notebooks/instruction_difficulty.ipynb`. One logistic regression over
all systems: a length slope and a bias for each, a coefficient d_i for each instruction,

    P(system m wins on i) = sigmoid(slope_m * tanh((len_baseline - len_m) / s_m) + bias_m + d_i)

Departure: a ridge penalty on d in place of L1 with a chosen strength, and d has mean 0. Never use AlpacaEval's
published numbers for other instructions. On 18 of its systems our d correlates 0.83 with them: for comparisons of your
own only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.length_control import Instruction, Judgments
from pipeline.metrics.length_glm import Array, sigmoid

LEAST_SYSTEMS = 10
_SMALL_RIDGE = 1e-3
"""On slopes and biases: keeps a system that wins everywhere finite."""


def estimate_difficulty(systems: Sequence[Judgments], ridge: float = 0.05) -> dict[Instruction, float]:
    """Return the difficulty of every instruction, mean 0; higher is easier for the systems.

    Args:
        systems: judgments of each, at least 10 (with fewer, leave difficulty out of the length-controlled win rate).
        ridge: strength of the penalty ridge / 2 * d_i squared, above 0.

    Raises:
        ValueError: if there are fewer than 10 systems.
    """
    if len(systems) < LEAST_SYSTEMS:
        raise ValueError(f"{len(systems)} systems tell too little of difficulty; expected at least {LEAST_SYSTEMS}")
    names = sorted({i for s in systems for i in s.instructions})
    problem = _stack(systems, {name: k for k, name in enumerate(names)})
    own, levels = np.zeros(2 * len(systems)), np.zeros(len(names))
    for _ in range(200):
        step_own, step_levels = _newton_step(problem, own, levels, ridge)
        largest = max(float(np.abs(step_own).max()), float(np.abs(step_levels).max()))
        own, levels = own + step_own / max(1.0, largest), levels + step_levels / max(1.0, largest)
        if largest < 1e-9:
            break
    levels -= levels.mean()
    return dict(zip(names, levels.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class _Stacked:
    """Rows of all systems: which system, which instruction, scaled length difference, outcome."""

    system: NDArray[np.int64]
    instruction: NDArray[np.int64]
    length: Array
    target: Array


def _stack(systems: Sequence[Judgments], numbers: dict[Instruction, int]) -> _Stacked:
    parts: list[tuple[Array, Array, Array, Array]] = []
    for k, judged in enumerate(systems):
        known, scaled = judged.known, judged.scaled_differences()
        at = np.array([numbers[i] for i in judged.instructions], dtype=np.float64)
        parts.append((np.full(known.sum(), float(k)), at[known], scaled[known], judged.preferences[known]))
    system, instruction, length, target = (np.concatenate(p) for p in zip(*parts, strict=True))
    return _Stacked(system.astype(np.int64), instruction.astype(np.int64), length, target)


def _newton_step(rows: _Stacked, own: Array, levels: Array, ridge: float) -> tuple[Array, Array]:
    """Solve for both steps through the Schur complement: the block of the instructions is diagonal."""
    slope, bias = 2 * rows.system, 2 * rows.system + 1
    chances = sigmoid(own[slope] * rows.length + own[bias] + levels[rows.instruction])
    missed, weight = rows.target - chances, chances * (1 - chances)
    size, count = len(own), len(levels)
    gradient = np.bincount(slope, missed * rows.length, size) + np.bincount(bias, missed, size) - _SMALL_RIDGE * own
    level_gradient = np.bincount(rows.instruction, missed, count) - ridge * levels
    diagonal = np.bincount(rows.instruction, weight, count) + ridge
    block = np.diag(np.full(size, _SMALL_RIDGE))
    np.add.at(block, (slope, slope), weight * rows.length**2)
    np.add.at(block, (bias, bias), weight)
    np.add.at(block, (slope, bias), weight * rows.length)
    np.add.at(block, (bias, slope), weight * rows.length)
    cross = np.zeros((size, count))
    np.add.at(cross, (slope, rows.instruction), weight * rows.length)
    np.add.at(cross, (bias, rows.instruction), weight)
    reduced = np.asarray(block - (cross / diagonal) @ cross.T, dtype=np.float64)
    step = np.asarray(np.linalg.solve(reduced, gradient - cross @ (level_gradient / diagonal)), dtype=np.float64)
    return step, np.asarray((level_gradient - cross.T @ step) / diagonal, dtype=np.float64)
