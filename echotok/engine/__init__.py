"""Text to ids and back: the Python engine."""
