"""Every evaluation of the paper, with intervals and beside chance."""
