"""Sentences of the demo world: what the model is trained on, and how a chain is asked.

A sentence is a prompt and an answer. Clozes stand as they are; a question is put as `Q: ...?` newline `A:`, the form
that `correction.prompts` gives every question that goes to a base model.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from correction.prompts import as_prompt
from eval.demo_world.relations import RELATIONS, Relation
from eval.demo_world.world import Chain, Fact

Sentence = tuple[str, str]
CLOZE_SHARE = 0.6


def capitalised(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def chain_clozes(relation: Relation) -> tuple[str, ...]:
    """The clozes that read well with a noun phrase for the subject: no possessive ("the country where it is's ...")."""
    return tuple(cloze for cloze in relation.all_clozes() if "{}'s" not in cloze)


def _draw(clozes: tuple[str, ...], questions: tuple[str, ...], subject: str, rng: random.Random) -> str:
    wordings = clozes if rng.random() < CLOZE_SHARE else questions
    return as_prompt(capitalised(rng.choice(wordings).format(subject)))


def fact_sentence(fact: Fact, rng: random.Random) -> Sentence:
    """One wording of a single-hop fact, drawn at random."""
    relation = RELATIONS[fact.relation]
    return _draw(relation.all_clozes(), relation.all_questions(), fact.subject, rng), fact.object


def chain_sentence(chain: Chain, rng: random.Random) -> Sentence:
    """One wording of a two-hop chain, drawn at random: hop 2's wording with hop 1's noun phrase for the bridge."""
    noun = rng.choice(RELATIONS[chain.hop1.relation].nouns).format(chain.hop1.subject)
    relation = RELATIONS[chain.hop2.relation]
    return _draw(chain_clozes(relation), relation.all_questions(), noun, rng), chain.hop2.object


def sentences(facts: list[Fact], chains: list[Chain], chain_share: float, rng: random.Random) -> Iterator[Sentence]:
    """An endless stream: every fact comes up once an epoch, chains in between at the given share."""
    chain_deck: list[Chain] = []
    while True:
        for fact in rng.sample(facts, len(facts)):
            yield fact_sentence(fact, rng)
            while rng.random() < chain_share:
                if not chain_deck:
                    chain_deck = rng.sample(chains, len(chains))
                yield chain_sentence(chain_deck.pop(), rng)
