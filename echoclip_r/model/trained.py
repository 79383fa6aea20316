"""A model with its weights and its tokenizer: what embeds frames and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from echoclip_r.model.build import fit_frames, image_size_px, normalize_frames
from echoclip_r.model.channels import shown
from echoclip_r.model.precision import autocast, resolve_precision
from echoclip_r.model.spec import ModelSpec
from echoclip_r.model.text_tower import encode_text
from echoclip_r.model.vector_tower import reads_vectors
from echoclip_r.text.codec import TextCodec
from echoclip_r.text.word_counts import WordCounts

__all__ = ["TrainedModel"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedModel:
    """A model ready to embed.

    `echoclip_r.model.checkpoint.load_checkpoint` makes it from a run of this package, and
    `echoclip_r.model.pretrained.load_published` from the weights of others.

    Attributes:
        model: `open_clip.CLIP` in evaluation mode, on `device`.
        spec: what it is.
        text: its tokenizer.
        name: short, for tables and plots.
        fingerprint: sha256 over weights and tokenizer, 64 hex digits; a key for caches.
        device: where it computes.
        word_counts: which words its training reports hold, or None where that is not known; see
            `echoclip_r.text.word_counts.KnownWords`.
    """

    model: Any
    spec: ModelSpec
    text: TextCodec
    name: str
    fingerprint: str
    device: torch.device
    word_counts: WordCounts | None = None

    @property
    def image_size_px(self) -> int:
        """Side of the frames that the image tower reads."""
        return image_size_px(self.model)

    @property
    def reads_vectors(self) -> int | None:
        """Columns of another encoder's embeddings where it reads these, None for frames."""
        return reads_vectors(self.model)

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
        """Embed the frames of a clip.

        Args:
            frames: (N, H, W, 3) uint8 RGB, or a list of (H, W, 3) of any sizes; other sizes than
                the model's are resized and cropped at the centre, as open_clip does it. All frames
                of one clip, in their order, where the spec's `channels` are `cine`.
            batch_size: frames at a time.

        Returns:
            (N, D) float32 rows of length 1.
        """
        return self.embed_pictures(shown(frames, self.spec.channels), batch_size=batch_size)

    def embed_pictures(
        self, pictures: Sequence[NDArray[np.uint8]], *, batch_size: int = 256
    ) -> NDArray[np.float32]:
        """Embed pictures whose channels are those that the image tower reads.

        Args:
            pictures: (H, W, 3) uint8 each, of any sizes, and of any clips; see
                `echoclip_r.model.channels.shown`.
            batch_size: pictures at a time.

        Returns:
            (N, D) float32 rows of length 1.
        """
        precision = resolve_precision(self.spec.precision, self.device)
        parts = []
        with torch.inference_mode():
            for start in range(0, len(pictures), batch_size):
                batch = fit_frames(pictures[start : start + batch_size], self.model)
                image = normalize_frames(batch.to(self.device), self.model)
                with autocast(precision, self.device):
                    features = self.model.encode_image(image)
                parts.append(functional.normalize(features.float(), dim=-1).cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.embed_dim), np.float32)

    def embed_texts(self, texts: Sequence[str], *, batch_size: int = 256) -> NDArray[np.float32]:
        """Embed texts; one that is too long is cut between units.

        Args:
            texts: as many as there are.
            batch_size: texts at a time.

        Returns:
            (N, D) float32 rows of length 1.
        """
        precision = resolve_precision(self.spec.precision, self.device)
        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), batch_size):
                ids = self.text.encode(texts[start : start + batch_size]).ids.to(self.device)
                with autocast(precision, self.device):
                    features = encode_text(self.model, ids)
                parts.append(functional.normalize(features.float(), dim=-1).cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.embed_dim), np.float32)
