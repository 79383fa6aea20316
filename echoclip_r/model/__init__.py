"""The CLIP model: what it is, how it is built, and its checkpoints."""
