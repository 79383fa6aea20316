"""Whether time is in proportion to the length of a text."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["assert_linear"]


def assert_linear(
    work: Callable[[str], object],
    text_of: Callable[[int], str],
    *,
    size: int,
    slack: float,
    least_s: float,
) -> None:
    """Eight times the text takes about eight times as long, not sixty-four.

    Args:
        work: what is measured.
        text_of: gives a text of a size.
        size: of the small text.
        slack: factor that the large text may take more.
        least_s: seconds that the small one counts as at least, below which clocks are coarse.
    """

    def seconds(count: int) -> float:
        text = text_of(count)
        best = float("inf")
        for _ in range(3):  # the garbage collector may come in between
            begin = time.process_time()
            work(text)
            best = min(best, time.process_time() - begin)
        return best

    small = seconds(size)
    assert seconds(8 * size) < 8 * slack * max(small, least_s)
