"""Benchmarks: each writes a page into `results`.

A package by this file, since old wheels of pyarrow bring one of the same name.
"""
