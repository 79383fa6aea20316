"""Retrieval on the validation split during training: one frame a clip, reports cut to the context.

It serves to choose a checkpoint. The figures that are reported of a model come from
`echoclip_r.evaluation`, which takes all frames, and the test split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from echoclip_r.data.shards import BadClip, ShardIndex, read_clips
from echoclip_r.errors import ShardError
from echoclip_r.metrics.ranks import retrieval_ranks
from echoclip_r.model.build import normalize_frames
from echoclip_r.model.channels import cine, cine_frames
from echoclip_r.model.precision import autocast
from echoclip_r.model.text_tower import encode_text
from echoclip_r.text.codec import TextCodec
from echoclip_r.text.equality import report_ids
from echoclip_r.training.config import TrainConfig

__all__ = ["Validation", "ValidationSet"]

_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Retrieval among the validation clips.

    Reports that normalize alike count as right, ties against us.

    Attributes:
        mcmrr: mean of the two mean ranks, from 1; chance is (n + 1) / 2 where all reports differ.
        recall_at_10: share of right answers among the first ten, mean of both ways.
        num_clips: n, the pool.
    """

    mcmrr: float
    recall_at_10: float
    num_clips: int

    def to_dict(self) -> dict[str, float]:
        """All figures, ready for JSON."""
        return asdict(self)


class ValidationSet:
    """The validation clips of a run: the middle frame of each, and its report.

    Args:
        index: the shards.
        config: of the run.
        codec: its tokenizer.
        size_px: side of the model's frames; clips of other sizes are resized.
    """

    def __init__(
        self, index: ShardIndex, *, config: TrainConfig, codec: TextCodec, size_px: int
    ) -> None:
        self.bad: list[BadClip] = []
        self._codec = codec
        frames, reports = [], []
        clips = read_clips(index.folder, split="validation", bad=self.bad)
        for clip in islice(clips, config.validation_clips):
            num = len(clip.frames_encoded)
            try:
                if config.model.channels == "cine":
                    picture = cine([clip.picture(one) for one in cine_frames(num // 2, num)])
                else:
                    picture = clip.picture(num // 2)
            except ShardError as error:
                self.bad.append(BadClip(clip.key, str(error)))
                continue
            if picture.size != (size_px, size_px):
                picture = picture.resize((size_px, size_px))
            frames.append(np.asarray(picture))
            reports.append(clip.report)
        self.num_clips = len(frames)
        self._reports = reports
        self._frames = torch.from_numpy(np.stack(frames)) if frames else torch.empty(0)
        (self._text,) = report_ids(reports)

    def run(
        self, model: Any, *, precision: str, device: torch.device, stop: Callable[[], bool]
    ) -> Validation | None:
        """Rank every report for every clip, and every clip for every report.

        Leaves the model in evaluation mode, and the generators in the state in which they were.

        Args:
            model: `open_clip.CLIP`.
            precision: `fp32`, `bf16` or `fp16`.
            device: where the model lies.
            stop: asked between parts whether to give up.

        Returns:
            What was found, or None where it was given up.

        Raises:
            ValueError: an embedding is not a number.
        """
        model.eval()
        images, texts = [], []
        with torch.inference_mode(), autocast(precision, device):
            for start in range(0, self.num_clips, _AT_ONCE):
                if stop():
                    return None
                frames = self._frames[start : start + _AT_ONCE].to(device)
                images.append(_unit(model.encode_image(normalize_frames(frames, model))))
                ids = self._codec.encode(self._reports[start : start + _AT_ONCE]).ids
                texts.append(_unit(encode_text(model, ids.to(device))))
        ranks = retrieval_ranks(
            np.concatenate(images),
            np.concatenate(texts),
            video_text=self._text,
            report_text=self._text,
        )
        return Validation(
            mcmrr=float(np.mean([way.mean() for way in ranks])),
            recall_at_10=float(np.mean([(way <= 10).mean() for way in ranks])),
            num_clips=self.num_clips,
        )


def _unit(features: torch.Tensor) -> NDArray[np.float32]:
    return np.asarray(functional.normalize(features.float(), dim=-1).cpu().numpy())
