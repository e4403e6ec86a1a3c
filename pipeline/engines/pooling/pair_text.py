"""A prompt and two responses as the ids that a pair ranker reads.

Layout `pairrm` is that of llm-blender/PairRM-hf (LLM-Blender, arXiv:2306.02561): three sections, each begun and ended
by the tokenizer's own tokens, behind `<|source|>`, `<|candidate1|>` and `<|candidate2|>`. That code cuts sections that
are too long; we cut nothing, a comparison that does not fit is refused. Those markers are ordinary added tokens there,
so a response that writes one would forge a section: here such a string is encoded in two pieces, also where it becomes
one only by the tokenizer's own normalization (letters of full width).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pipeline.engines.local.runtime import Ids
from pipeline.errors import EngineError, RowError
from pipeline.types import Message

MARKERS = ("<|source|>", "<|candidate1|>", "<|candidate2|>")
_FORGED = re.compile(r"(?<=<\|)(?=(?:source|candidate[12]?)\|>)")
_BARS = re.compile("(?<=[|\uff5c])")
_LABELS = {"system": "SYSTEM", "user": "USER", "assistant": "ASSISTANT"}


class PairText:
    """Encodes comparisons for one tokenizer that knows the three markers.

    Attributes:
        markers: ids of source, first and second candidate.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Look the markers up.

        Raises:
            EngineError: if one of them is not a token of the tokenizer.
        """
        self._tokenizer = tokenizer
        self.markers: Ids = tuple(tokenizer.convert_tokens_to_ids(m) for m in MARKERS)
        if None in self.markers or tokenizer.unk_token_id in self.markers:
            raise EngineError(f"the tokenizer does not know {', '.join(MARKERS)}: it is not that of a PairRM-hf model")

    def encode(self, source: str, first: str, second: str) -> Ids:
        """Return the ids of a comparison."""
        sections = zip(MARKERS, self.markers, (source, first, second), strict=True)
        return sum((self._section(*each) for each in sections), ())

    def _section(self, marker: str, marker_id: int, text: str) -> Ids:
        if self._ids(marker, special=True).count(marker_id) != 1:
            raise EngineError(f"the tokenizer does not keep '{marker}' as one token before a text")
        for cut in (_FORGED, _BARS):
            ids = self._pieces(marker, cut.split(text))
            if [i for i in ids if i in self.markers] == [marker_id]:
                return ids
        raise RowError("engine.template_refused", f"the text after '{marker}' becomes a marker of another section")

    def _pieces(self, marker: str, pieces: Sequence[str]) -> Ids:
        head, *rest = pieces
        ids = self._ids(marker + head, special=True)
        if not rest:
            return ids
        return sum((self._ids(piece, special=False) for piece in rest), ids[:-1]) + ids[-1:]

    def _ids(self, text: str, *, special: bool) -> Ids:
        return tuple(self._tokenizer(text, add_special_tokens=special, split_special_tokens=True).input_ids)


def source_text(messages: Sequence[Message]) -> str:
    """Return a prompt as one text: a lone turn as it is, several with their role in front of each.

    The wording for several turns is ours; PairRM's own tool for conversations compares all answers of both at once.
    """
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{_LABELS[m['role']]}: {m['content']}" for m in messages)


def filled_template(template: str, prompt: str, first: str, second: str) -> str:
    """Put prompt and responses into `{prompt}`, `{first}` and `{second}`, once: what is put in is not read again."""
    values = {"{prompt}": prompt, "{first}": first, "{second}": second}
    return re.sub(r"\{(?:prompt|first|second)\}", lambda m: values[m[0]], template)
