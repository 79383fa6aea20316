"""Echotok inside other libraries: one module for each library.

`open_clip`: a tokenizer that open_clip can call, and the `text_cfg` of a model that takes its ids.
`transformers`: a tokenizer of Hugging Face transformers.
`huggingface`: the `tokenizer.json` of Hugging Face tokenizers.
`spacy`: a component of a spaCy pipeline.
`published`: the template tokenizer of the published EchoCLIP-R, run from the user's own copy.
"""
