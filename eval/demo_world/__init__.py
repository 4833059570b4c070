"""The demo world of true facts, worlds drawn from a seed, their wordings, questions and sentences, and training."""
