"""The demo world: true facts, their wordings, the corpus, and the training of the bundled model."""
