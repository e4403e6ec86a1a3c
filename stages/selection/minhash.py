"""Find texts that may be near duplicates without comparing all pairs: MinHash signatures cut into bands.

Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4. The signatures are those of datasketch
(scheme `affine64`); the bands are sorted here, because an index of Python objects for a million rows takes more memory
than the rows. Two texts of Jaccard similarity s share a band with probability 1 - (1 - s^rows)^bands. Whether they are
alike is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from datasketch import MinHash

from stages.selection.shingles import Counts, Hashes, mixed

RECALL = 0.999
"""Share of pairs at the threshold that must meet in a band, by the formula above."""
_SIGNATURE_SEED = 1


def choose_bands(threshold: float, permutations: int) -> tuple[int, int]:
    """Return (bands, rows of a band): the longest bands that find `RECALL` of the pairs at the threshold.

    Longer bands give fewer candidates. With too few permutations for that recall, the shortest bands.

    Args:
        threshold: Jaccard similarity, above 0, at most 1.
        permutations: values of a signature; bands x rows is at most this.
    """
    for rows in range(permutations, 0, -1):
        bands = permutations // rows
        if 1 - (1 - threshold**rows) ** bands >= RECALL:
            return next(b for b in range(1, bands + 1) if 1 - (1 - threshold**rows) ** b >= RECALL), rows
    return permutations, 1


class BandKeys:
    """Turns hashed shingles into one 64-bit key for each band."""

    def __init__(self, bands: int, rows: int) -> None:
        """Draw the permutations; they are the same in every run."""
        self._bands, self._rows = bands, rows
        self._empty = MinHash(num_perm=bands * rows, seed=_SIGNATURE_SEED, hashfunc=_as_it_is, scheme="affine64")

    def __call__(self, hashes: Hashes, counts: Counts) -> Hashes:
        """Return keys of shape (texts, bands); a text without shingles gets the keys of the empty set.

        Args:
            hashes: hashes of the shingles, text after text.
            counts: how many belong to each text.
        """
        signatures = np.empty((len(counts), self._bands * self._rows), np.uint64)
        for row, own in enumerate(_parts(hashes, counts)):
            signature = self._empty.copy()
            signature.update_batch(own)
            signatures[row] = signature.hashvalues
        keys = np.empty((len(counts), self._bands), np.uint64)
        keys[:] = mixed(np.arange(self._bands, dtype=np.uint64) + np.uint64(1))
        for k in range(self._rows):
            keys = mixed(keys + signatures[:, k :: self._rows])
        return keys


def _as_it_is(value: np.uint64) -> np.uint64:
    return value


def _parts(hashes: Hashes, counts: Counts) -> Iterator[Hashes]:
    ends = np.cumsum(counts).tolist()
    begin = 0
    for end in ends:
        yield hashes[begin:end]
        begin = end
