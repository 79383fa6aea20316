"""Figures with intervals and chance levels, with numpy, scipy and scikit-learn but no torch."""
