"""Figures with intervals and chance levels: numpy, scipy and scikit-learn, no torch."""
