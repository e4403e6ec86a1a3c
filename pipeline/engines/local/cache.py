"""Keys and values of past positions, in the layout that makes a decode step cheap.

`PromptCache` records one prompt pass. `RowCache` holds rows that continue prompts: siblings are copies of one
prompt's keys and values, aligned so that every row's prompt ends at the same slot. Slots come in whole blocks and
attention always runs over all of them, unused ones masked, so that matrix products see contiguous memory.
Both look to transformers' models like its own caches. They know neither tokens nor sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 32
"""Slots are added this many at a time."""

Guard = Callable[[], None]
"""Called once per layer and pass; raises to abort a running pass."""


class PromptCache:
    """Records the keys and values of one pass over right-padded prompts.

    Attributes:
        keys: per layer, shape (prompts, key heads, positions, width).
        values: likewise.
    """

    is_compileable = False

    def __init__(self, guard: Guard) -> None:
        """Start empty."""
        self._guard = guard
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the positions seen before this pass: none."""
        return 0

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """Return the position of the first query."""
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """Return key/value length and offset of the mask."""
        return query_length, 0

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **options: Any
    ) -> tuple[Tensor, Tensor]:
        """Record one layer and return what was given."""
        self._guard()
        self.keys.append(key_states)
        self.values.append(value_states)
        return key_states, value_states


class RowCache:
    """Keys and values of rows that each continue one prompt.

    Attributes:
        used: slots filled in every row; prompts end at slot `prompt_slots`, shorter ones leave a gap before them.
        visible: boolean, shape (rows, slots), True where a slot holds a token of the row.
    """

    is_compileable = False

    def __init__(self, guard: Guard, device: Any) -> None:
        """Start without rows; `add_layers` and `place` fill it."""
        self._guard = guard
        self._device = device
        self._keys: list[Tensor] = []  # (rows, key heads, width, slots): a product with queries reads it in order
        self._values: list[Tensor] = []  # (rows, key heads, slots, width)
        self.used = 0
        self.visible: Tensor = None

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return int(self.visible.shape[0])

    @property
    def slots(self) -> int:
        """Return the slots allocated per row."""
        return int(self.visible.shape[1])

    def allocate(self, like: PromptCache, rows: int, prompt_slots: int, more: int) -> None:
        """Make zeroed room for `rows` rows of `prompt_slots` prompt positions and `more` new ones.

        Args:
            like: a prompt pass of the same model; gives layers, heads, widths and dtype.
            rows: at least 1.
            prompt_slots: length of the longest prompt.
            more: positions expected after it; the cache grows if there are more.
        """
        import torch

        slots = _whole_blocks(prompt_slots + more)
        for key, value in zip(like.keys, like.values, strict=True):
            heads, width, value_width = key.shape[1], key.shape[3], value.shape[3]
            self._keys.append(torch.zeros((rows, heads, width, slots), dtype=key.dtype, device=self._device))
            self._values.append(torch.zeros((rows, heads, slots, value_width), dtype=key.dtype, device=self._device))
        self.visible = torch.zeros((rows, slots), dtype=torch.bool, device=self._device)
        self.used = prompt_slots

    def place(self, source: PromptCache, prompt: int, length: int, first: int, last: int) -> None:
        """Copy one prompt's keys and values into rows `first` to `last` (exclusive), ending at slot `used`."""
        start = self.used - length
        for layer, (key, value) in enumerate(zip(source.keys, source.values, strict=True)):
            self._keys[layer][first:last, :, :, start : self.used] = key[prompt, :, :length].transpose(1, 2)
            self._values[layer][first:last, :, start : self.used] = value[prompt, :, :length]
        self.visible[first:last, start : self.used] = True

    def make_room(self, queries: int) -> None:
        """Grow by whole blocks so that `queries` more positions fit, and mark them visible."""
        import torch

        need = _whole_blocks(self.used + queries) - self.slots
        if need > 0:
            pad = torch.nn.functional.pad
            for layer in range(len(self._keys)):
                self._keys[layer] = pad(self._keys[layer], (0, need))
                self._values[layer] = pad(self._values[layer], (0, 0, 0, need))
            self.visible = pad(self.visible, (0, need))
        self.visible[:, self.used : self.used + queries] = True

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but these, in this order."""
        import torch

        index = torch.tensor(rows, dtype=torch.long, device=self._device)
        for layer in range(len(self._keys)):
            self._keys[layer] = self._keys[layer].index_select(0, index)
            self._values[layer] = self._values[layer].index_select(0, index)
        self.visible = self.visible.index_select(0, index)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the slots filled before this pass."""
        return self.used

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """Return the slot of the first query."""
        return self.used

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """Return key/value length and offset of the mask: all slots."""
        return self.slots, 0

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **options: Any
    ) -> tuple[Tensor, Tensor]:
        """Write one layer's new keys and values and return all slots; `make_room` was called before."""
        self._guard()
        end = self.used + key_states.shape[2]
        keys, values = self._keys[layer_idx], self._values[layer_idx]
        keys[:, :, :, self.used : end] = key_states.transpose(2, 3)
        values[:, :, self.used : end] = value_states
        return keys.transpose(2, 3), values


def _whole_blocks(slots: int) -> int:
    return -(-slots // BLOCK) * BLOCK
