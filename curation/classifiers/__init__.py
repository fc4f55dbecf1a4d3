"""Classifiers of documents: fastText models, lists of bad words, KenLM's perplexity.

All give a score to each text: `scorers`, which a recipe asks for as `signals`. A fastText model is
made by `fitting`, on `features` of the texts, with a card beside it, see `cards`. What that gains,
by data set: curation/models/README.md.
"""
