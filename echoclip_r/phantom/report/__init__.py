"""The simulated report: what a reader sees, and the words for it."""
