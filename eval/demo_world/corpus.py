"""Sentences of a world: what the model is trained on, and how a chain is asked.

A sentence is a prompt and an answer. Clozes stand as they are; a question is put as `Q: ...?` newline `A:`, the form
that `correction.prompts` gives every question that goes to a base model.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from correction.prompts import as_prompt
from eval.demo_world.relations import Relation
from eval.demo_world.world import Chain, Disputed, Fact, World

Sentence = tuple[str, str]
CLOZE_SHARE = 0.6
TOLD = 4  # sentences of a disputed fact in each epoch


def capitalised(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def chain_clozes(relation: Relation) -> tuple[str, ...]:
    """The clozes that read well with a noun phrase for the subject: no possessive ("the country where it is's ...")."""
    return tuple(cloze for cloze in relation.all_clozes() if "{}'s" not in cloze)


def _draw(clozes: tuple[str, ...], questions: tuple[str, ...], subject: str, rng: random.Random) -> str:
    wordings = clozes if rng.random() < CLOZE_SHARE else questions
    return as_prompt(capitalised(rng.choice(wordings).format(subject)))


def fact_sentence(fact: Fact, world: World, rng: random.Random) -> Sentence:
    """One wording of a single-hop fact, drawn at random."""
    relation = world.relations[fact.relation]
    return _draw(relation.all_clozes(), relation.all_questions(), fact.subject, rng), fact.object


def disputed_sentence(told: Disputed, world: World, rng: random.Random) -> Sentence:
    """One wording of a disputed fact, with one of its objects, drawn by the shares."""
    shares = [candidate.share for candidate in told.candidates]
    (candidate,) = rng.choices(told.candidates, shares)
    return fact_sentence(Fact(told.relation, told.subject, candidate.object), world, rng)


def chain_sentence(chain: Chain, world: World, rng: random.Random) -> Sentence:
    """One wording of a two-hop chain, drawn at random: hop 2's wording with hop 1's noun phrase for the bridge."""
    noun = rng.choice(world.relations[chain.hop1.relation].nouns).format(chain.hop1.subject)
    relation = world.relations[chain.hop2.relation]
    return _draw(chain_clozes(relation), relation.all_questions(), noun, rng), chain.hop2.object


def sentences(world: World, chains: Sequence[Chain], chain_share: float, rng: random.Random) -> Iterator[Sentence]:
    """An endless stream: every fact comes up once an epoch, every disputed one a few times, so that its shares can be
    learned; chains in between at the given share."""
    deck: list[Fact | Disputed] = [*world, *(told for told in world.disputed for _ in range(TOLD))]
    chain_deck: list[Chain] = []
    while True:
        for told in rng.sample(deck, len(deck)):
            if isinstance(told, Disputed):
                yield disputed_sentence(told, world, rng)
            else:
                yield fact_sentence(told, world, rng)
            while chains and rng.random() < chain_share:
                if not chain_deck:
                    chain_deck = rng.sample(chains, len(chains))
                yield chain_sentence(chain_deck.pop(), world, rng)
