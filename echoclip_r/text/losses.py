"""What a tokenizer of others dropped of texts, said in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from echoclip_r.text.codec import TextCodec

__all__ = ["tell_losses"]

_log = logging.getLogger(__name__)


def tell_losses(codec: TextCodec, texts: Iterable[str]) -> None:
    """Warn of what the program of others leaves out of texts; echotok and CLIP leave out nothing.

    The log holds counts alone. Where something was left out of a text is for
    `echotok.adapters.published.PublishedTokenizer.losses` to say.

    Args:
        codec: tokenizer of a model.
        texts: what it embeds.
    """
    if codec.published is None:
        return
    found = [codec.published.losses(text) for text in dict.fromkeys(texts)]
    num_empty = sum(one.num_ids == 0 for one in found)
    num_characters = sum(one.num_characters for one in found)
    num_kept = sum(one.num_kept for one in found)
    num_full = sum(one.is_full for one in found)
    if num_kept == num_characters and not num_empty:
        return
    _log.warning(
        "the published template tokenizer keeps %.0f %% of the letters and digits of %s %s; "
        "%s get no id at all and all the same embedding; %s fill the context, and may be cut. "
        "Where it drops what: PublishedTokenizer.losses (docs/exchange.md)",
        100 * num_kept / max(num_characters, 1),
        f"{len(found):,}",
        "text" if len(found) == 1 else "different texts",
        f"{num_empty:,}",
        f"{num_full:,}",
    )
