"""Many encoded texts as one padded array, or packed without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from echotok.engine.core import row_padder
from echotok.errors import OptionError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Batch", "PackedBatch", "as_tensors", "pad_rows"]


def pad_rows(
    rows: Sequence[Sequence[int]],
    *,
    pad_id: int,
    width: int | None = None,
    side: Literal["right", "left"] = "right",
) -> npt.NDArray[np.int64]:
    """Rows of ids as one array.

    Args:
        rows: the ids.
        pad_id: id that fills a row.
        width: smallest number of columns; None takes the longest row's length.
        side: where a row is filled.

    Returns:
        int64 of shape `(rows, columns)`.
    """
    import numpy as np  # a tenth of a second that `import echotok` need not take

    longest = max(map(len, rows), default=0)
    padded = np.full((len(rows), max(width or 0, longest)), pad_id, dtype=np.int64)
    for row, ids in enumerate(rows):
        if side == "right":
            padded[row, : len(ids)] = ids
        else:
            padded[row, padded.shape[1] - len(ids) :] = ids
    return padded


def as_tensors(values: Any, kind: str | None, *, single: bool) -> Any:
    """Rows in the form that was asked for.

    Args:
        values: a list of rows or of numbers, or an array.
        kind: `"list"`, `"np"`, `"pt"`, or None for whatever it is.
        single: give the only row as a list by itself, unless arrays or tensors are asked for.

    Raises:
        OptionError: tensors are asked for, and torch is not installed.
    """
    if kind == "pt":
        try:
            import torch
        except ModuleNotFoundError as error:
            raise OptionError(
                'return_tensors="pt" needs torch, which is not installed: pip install torch, or '
                'take return_tensors="np"'
            ) from error
        return torch.as_tensor(values, dtype=torch.int64)
    if kind == "np":
        import numpy as np

        return np.asarray(values, dtype=np.int64)
    if not isinstance(values, list) and (kind == "list" or single):
        values = values.tolist()
    return values[0] if single else values


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
    def of(cls, packed: PackedBatch, *, pad_id: int, width: int | None = None) -> Batch:
        """Pad the rows of a packed batch.

        Args:
            packed: the rows.
            pad_id: id that fills a row behind EOS.
            width: number of columns, enough for the longest row; None takes its length.
        """
        import numpy as np

        lengths = packed.lengths
        columns = max(width or 0, int(lengths.max(initial=0)))
        ids = np.empty((len(lengths), columns), dtype=np.int64)
        pad_rows_by_core = row_padder()
        if pad_rows_by_core is not None:
            flat = np.ascontiguousarray(packed.ids, dtype=np.int32)
            ends = np.ascontiguousarray(packed.row_ends, dtype=np.int64)
            pad_rows_by_core(flat, ends, ids, columns, pad_id)
        else:
            ids.fill(pad_id)
            ids[np.arange(columns) < lengths[:, None]] = packed.ids
        return cls(
            ids=ids,
            lengths=lengths,
            num_dropped=packed.num_dropped,
            cut_inside_unit=packed.cut_inside_unit,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedBatch:
    """Many encoded texts, their ids one behind the other without padding.

    Attributes:
        ids: int32 of shape `(ids of all rows,)`; each row begins with BOS and ends with EOS.
        row_ends: int64 of shape `(batch,)`, for each row the index behind its last id. Row 0 is
            `ids[:row_ends[0]]`, row 1 is `ids[row_ends[0]:row_ends[1]]`.
        num_dropped: int64 of shape `(batch,)`, number of ids that truncation dropped.
        cut_inside_unit: bool of shape `(batch,)`, true where the first unit alone was too long.
    """

    ids: npt.NDArray[np.int32]
    row_ends: npt.NDArray[np.int64]
    num_dropped: npt.NDArray[np.int64]
    cut_inside_unit: npt.NDArray[np.bool_]

    @classmethod
    def join(cls, parts: Sequence[PackedBatch]) -> PackedBatch:
        """Put packed batches behind each other."""
        import numpy as np

        begins = np.cumsum([0, *(len(part.ids) for part in parts)])
        none = np.zeros(0, dtype=np.int64)
        return cls(
            ids=np.concatenate([none.astype(np.int32), *(part.ids for part in parts)]),
            row_ends=np.concatenate(
                [none, *(part.row_ends + at for part, at in zip(parts, begins[:-1], strict=True))]
            ),
            num_dropped=np.concatenate([none, *(part.num_dropped for part in parts)]),
            cut_inside_unit=np.concatenate(
                [none.astype(np.bool_), *(part.cut_inside_unit for part in parts)]
            ),
        )

    def __len__(self) -> int:
        return len(self.row_ends)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64 of shape `(batch,)`, number of ids of each row, with BOS and EOS."""
        import numpy as np

        return np.diff(self.row_ends, prepend=0)

    @property
    def num_truncated(self) -> int:
        """How many texts did not fit."""
        return int((self.num_dropped > 0).sum())
