"""Every evaluation of the paper, with intervals and chance levels."""
