"""Phrase tables: what a row means, matching, reading, checking and writing."""
