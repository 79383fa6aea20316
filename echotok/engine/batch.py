"""Many encoded texts as one padded array."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from echotok.engine.encoding import Encoding

__all__ = ["Batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Many encoded texts as one padded array.

    Attributes:
        ids: int64 of shape `(batch, length)`, padded behind EOS with `pad_id`.
        lengths: int64 of shape `(batch,)`, number of ids of each row, with BOS and EOS.
        num_dropped: int64 of shape `(batch,)`, number of ids that truncation dropped.
        cut_inside_unit: bool of shape `(batch,)`, true where the first unit alone was too long.
    """

    ids: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    num_dropped: npt.NDArray[np.int64]
    cut_inside_unit: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, encodings: Iterable[Encoding], *, pad_id: int, width: int | None = None) -> Batch:
        """Put encodings side by side.

        Args:
            encodings: the encodings, one for each row.
            pad_id: id that fills a row behind EOS.
            width: number of columns, enough for the longest encoding; None takes its length.
        """
        import numpy as np  # a tenth of a second that `import echotok` need not take

        # Only what a row needs is kept of each: texts of a large batch may take much memory.
        rows, dropped, inside = [], [], []
        for encoding in encodings:
            rows.append(encoding.ids)
            dropped.append(encoding.num_dropped)
            inside.append(encoding.cut_inside_unit)
        lengths = np.array([len(ids) for ids in rows], dtype=np.int64)
        padded = np.full((len(rows), width or int(lengths.max(initial=0))), pad_id, dtype=np.int64)
        for row, ids in enumerate(rows):
            padded[row, : len(ids)] = ids
        return cls(
            ids=padded,
            lengths=lengths,
            num_dropped=np.array(dropped, dtype=np.int64),
            cut_inside_unit=np.array(inside, dtype=bool),
        )

    @property
    def attention_mask(self) -> npt.NDArray[np.int64]:
        """int64 of shape `(batch, length)`: 1 at each id, BOS and EOS too, and 0 at padding."""
        import numpy as np

        columns = np.arange(self.ids.shape[1])
        return (columns < self.lengths[:, None]).astype(np.int64)

    @property
    def num_truncated(self) -> int:
        """How many texts did not fit."""
        return int((self.num_dropped > 0).sum())
