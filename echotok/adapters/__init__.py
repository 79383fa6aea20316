"""Echotok inside other libraries, one module each.

`open_clip`: a tokenizer as open_clip calls it, and the `text_cfg` of a model that takes its ids.
"""
