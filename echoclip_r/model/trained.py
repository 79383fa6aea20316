"""A trained model with its tokenizer: what embeds frames and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import nn
from torch.nn import functional

from echoclip_r.model.build import normalize_frames, preprocess_config
from echoclip_r.model.precision import autocast, resolve_precision
from echoclip_r.model.text_tower import encode_text
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.config import TrainConfig

__all__ = ["TrainedModel"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedModel:
    """A model ready to embed; made by `echoclip_r.model.checkpoint.load_checkpoint`.

    Attributes:
        model: `open_clip.CLIP` in evaluation mode, on `device`.
        config: of the run that trained it.
        text: its tokenizer.
        name: short, for tables and plots.
        fingerprint: sha256 over weights and tokenizer, 64 hex digits; a key for caches.
        device: where it computes.
    """

    model: Any
    config: TrainConfig
    text: TextCodec
    name: str
    fingerprint: str
    device: torch.device

    @property
    def image_size_px(self) -> int:
        """Side of the frames that the image tower reads."""
        size = preprocess_config(self.model)["size"]
        return int(size if isinstance(size, int) else size[0])

    @property
    def embed_dim(self) -> int:
        """Columns of the embeddings."""
        projection = self.model.text_projection
        if isinstance(projection, nn.Linear):
            return int(projection.out_features)
        return int(projection.shape[1])

    @property
    def context_length(self) -> int:
        """Most ids of a text."""
        return self.text.context_length

    def embed_frames(
        self, frames: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], *, batch_size: int = 256
    ) -> NDArray[np.float32]:
        """Embed frames.

        Args:
            frames: (N, H, W, 3) uint8 RGB, or a list of (H, W, 3) of any sizes; other sizes than
                the model's are resized and cropped at the centre, as open_clip does it.
            batch_size: frames at a time.

        Returns:
            (N, D) float32 rows of length 1.
        """
        precision = resolve_precision(self.config.precision, self.device)
        parts = []
        with torch.inference_mode():
            for start in range(0, len(frames), batch_size):
                batch = self._fit(frames[start : start + batch_size])
                image = normalize_frames(batch.to(self.device), self.model)
                with autocast(precision, self.device):
                    features = self.model.encode_image(image)
                parts.append(functional.normalize(features.float(), dim=-1).cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.embed_dim), np.float32)

    def embed_texts(self, texts: Sequence[str], *, batch_size: int = 256) -> NDArray[np.float32]:
        """Embed texts; one that is too long is cut between units.

        Returns:
            (N, D) float32 rows of length 1.
        """
        precision = resolve_precision(self.config.precision, self.device)
        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), batch_size):
                ids = self.text.encode(texts[start : start + batch_size]).ids.to(self.device)
                with autocast(precision, self.device):
                    features = encode_text(self.model, ids)
                parts.append(functional.normalize(features.float(), dim=-1).cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.embed_dim), np.float32)

    def _fit(self, frames: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Frames as one uint8 tensor (B, size, size, 3)."""
        size = self.image_size_px
        if all(frame.shape[:2] == (size, size) for frame in frames):
            return torch.from_numpy(np.ascontiguousarray(np.stack(list(frames))))
        known = asdict(PreprocessCfg())
        prepared = PreprocessCfg(
            **{
                name: value
                for name, value in preprocess_config(self.model).items()
                if name in known
            }
        )
        # Everything but the last two steps, to tensor and normalize, which are done in batches.
        steps = image_transform_v2(prepared, is_train=False).transforms[:-2]
        fitted = []
        for frame in frames:
            image = Image.fromarray(frame)
            for step in steps:
                image = step(image)
            fitted.append(np.asarray(image))
        return torch.from_numpy(np.stack(fitted))
