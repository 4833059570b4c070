"""Two-hop questions about the real world, for models that were trained on it: `hopfix eval --questions real`.

The facts are the demo world's, all of them true; here they are asked in plain English of any model. Each question has
its hops as clozes, for a model that completes, and as questions, for one that is asked. About three quarters are
about subjects that many people know (`real_famous.tsv`), the rest about ones that few do. No bridge, and nothing that a
calibration question names, comes up in the test set.

    python -m eval.real_questions FOLDER     writes calibration.jsonl, test.jsonl and one_hop.jsonl
"""

from __future__ import annotations

import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from eval.demo_world import corpus
from eval.demo_world.relations import RELATIONS
from eval.demo_world.statements import Chain, Fact
from eval.demo_world.world import World
from eval.questions import GoldQuestion, save_questions
from eval.real_names import OWNED, aliases, country_with_article, is_plural, listed, rows_of, with_article
from eval.real_wordings import BRANDS, FIRST, SECOND, TYPES, First

NAME = "real"
CALIBRATION, TEST, ONE_HOP = 400, 1500, 200
CALIBRATION_SHARE = 0.3  # of the bridges of each kind
FAMOUS_SHARE = 0.75
# Hops that only large models know: fewer questions each, so that a small model's figures are not mostly noise.
RARELY_KNOWN = {
    "park_country",
    "book_author",
    "film_director",
    "painting_artist",
    "company_city",
    "person_birthplace",
    "person_birth_year",
    "country_calling_code",
    "country_domain",
    "company_ceo",
    "company_founder",
}
RARE_WEIGHT = 0.4
MOST_OF_ONE = 0.03  # of the questions about one bridge


# Born where the country has another name today than it had then, or was part of another; and companies whose seat is
# not in the country that people take to be theirs.
_DISPUTED_BIRTHS = listed(
    """
    Nikola Tesla; Mother Teresa; Sigmund Freud; Gunter Grass; Kurt Godel; Gerty Cori; Max Born; Fritz Haber; Daniel
    Gabriel Fahrenheit; Johannes Hevelius; Joseph Conrad; Nikolai Gogol; Ilya Repin; Mikhail Bulgakov; Svetlana
    Alexievich; Sergei Korolev; Sviatoslav Richter; Igor Sikorsky; Golda Meir; David Oistrakh; Emil Gilels; Mikhail
    Baryshnikov; Mikhail Tal; Wilhelm Ostwald; Jascha Heifetz; Aram Khachaturian; Tigran Petrosian; Garry Kasparov;
    Lev Landau; Mstislav Rostropovich; Lotfi Zadeh; Subrahmanyan Chandrasekhar; Shah Jahan; Muhammad Ali Jinnah;
    Sergei Eisenstein; Billy Wilder; Elia Kazan; Ivo Andric; Stefan Banach; Danilo Kis; Johann Nepomuk Hummel;
    Philipp Lenard; Giuseppe Garibaldi; Henry Cavendish; Hans Bethe; Chinghiz Aitmatov; Goran Pandev; Elias Canetti;
    Milla Jovovich; Emir Kusturica; Peter Sagan; Jan Matejko; Madeleine Albright; Martina Navratilova; Martina
    Hingis; Marek Hamsik; Kahlil Gibran; Milos Forman; Jiri Menzel; Monica Seles; Edin Dzeko; Luka Doncic; Goran
    Dragic; Anze Kopitar; Dejan Savicevic; Predrag Mijatovic; Dan Balan; Radu Albot; Victoria Azarenka
    """
)
_DISPUTED_HOMES = listed("IKEA; Chanel; Medtronic; Wargaming; Shell; Unilever; Dyson; Richemont; Lenovo; Logitech")
_NOT_A_PRODUCT = listed("Deep Blue; HOVR; Pillsbury Doughboy; V-Power; Okoa Jahazi; Fuliza; Wild Bean Cafe")


def means_real(given: str | Path) -> bool:
    """Whether `--questions` names these questions: a file or folder called real has precedence."""
    return str(given) == NAME and not Path(given).exists()


@cache
def real_suite() -> dict[str, list[GoldQuestion]]:
    """calibration, test and one_hop: the same every time."""
    facts = _facts()
    parts = _split(facts)
    calibration = _spread([chain for chain in _chains(facts) if parts[chain.bridge_key] == "calibration"], CALIBRATION)
    taken = {name for chain in calibration for name in (chain.hop1.subject, chain.bridge)}
    left = [
        chain
        for chain in _chains(facts)
        if parts[chain.bridge_key] == "test" and not {chain.hop1.subject, chain.bridge} & taken
    ]
    test = _spread(left, TEST)
    random.Random("real order").shuffle(test)  # so that the first few are of every type
    return {
        "calibration": [_two_hop(chain, f"real-calibration-{n}") for n, chain in enumerate(calibration)],
        "test": [_two_hop(chain, f"real-test-{n}") for n, chain in enumerate(test)],
        "one_hop": _one_hop(left, ONE_HOP),
    }


def _facts() -> dict[str, dict[str, Fact]]:
    """The world's facts by relation and subject, with the country of every birth and every company beside them."""
    known = {relation: dict(table) for relation, table in World.load().facts.items()}
    countries = known["city_country"]
    for through, leads_to, disputed in (
        ("person_birthplace", "person_birth_country", _DISPUTED_BIRTHS),
        ("company_city", "company_country", _DISPUTED_HOMES),
    ):
        table = known.setdefault(leads_to, {})
        for subject, fact in known[through].items():
            if fact.object in countries:
                table.setdefault(subject, Fact(leads_to, subject, countries[fact.object].object))
        for subject in disputed:
            table.pop(subject, None)
    known["company_ceo"] = {
        company: Fact("company_ceo", company, led[0], led[1:]) for company, led in rows_of("chief_executive").items()
    }
    return known


def _kind(relation: str) -> str:
    """What the object of a relation is: "company" for company_country's subject, "country" for its object."""
    return RELATIONS[relation].object if relation in RELATIONS else relation.split("_")[1]


def _chains(facts: dict[str, dict[str, Fact]]) -> list[Chain]:
    """Every chain whose bridge and answer are not in the question's own words."""
    chains = [
        Chain(hop1, hop2, _kind(first))
        for first, second in TYPES
        for hop1 in facts[first].values()
        if (hop2 := facts[second].get(hop1.object)) is not None
    ]
    return [chain for chain in chains if not chain.gives_away and not _awkward(chain.hop1.subject)]


def _awkward(subject: str) -> bool:
    """Names that only a table would use, "Fort Charlotte above Kingstown", and products that are none."""
    return subject in _NOT_A_PRODUCT or (
        bool(re.search(r" (near|above|on|at|of Old) ", subject)) and subject not in _famous()
    )


@cache
def _famous() -> frozenset[str]:
    lines = (resources.files("eval") / "real_famous.tsv").read_text(encoding="utf-8").splitlines()
    return frozenset(line.split("\t")[1] for line in lines)


def _split(facts: dict[str, dict[str, Fact]]) -> dict[tuple[str, str], str]:
    """Bridge -> "calibration" or "test", the same shares of every kind."""
    by_kind: dict[str, set[str]] = defaultdict(set)
    for chain in _chains(facts):
        by_kind[chain.kind].add(chain.bridge)
    parts: dict[tuple[str, str], str] = {}
    for kind, names in sorted(by_kind.items()):
        order = sorted(names)
        random.Random(f"real bridges {kind}").shuffle(order)
        for place, name in enumerate(order):
            parts[kind, name] = "calibration" if place < CALIBRATION_SHARE * len(order) else "test"
    return parts


def _spread(chains: Sequence[Chain], count: int) -> list[Chain]:
    """`count` chains, evenly over the types: mostly of famous subjects, the others evenly over bridges and answers."""
    rng = random.Random(f"real {count}")
    pools: dict[tuple[str, bool], list[Chain]] = defaultdict(list)
    for chain in rng.sample(chains, len(chains)):
        pools[chain.type, chain.hop1.subject in _famous()].append(chain)
    quotas = _quotas(
        {chain.type for chain in chains}, {t: len(pools[t, True]) + len(pools[t, False]) for t, _ in list(pools)}, count
    )
    chosen: list[Chain] = []
    asked: Counter[tuple[str, str]] = Counter()
    subjects: Counter[str] = Counter()
    for type in sorted(quotas):
        famous = 0
        for number in range(quotas[type]):
            wanted = famous < FAMOUS_SHARE * (number + 1)
            pool = pools[type, wanted] or pools[type, not wanted]
            famous += pool is pools[type, True]
            # What many people know, as often as there is of it; of the rest, bridges evenly.
            chain = min(
                pool,
                key=lambda c, even=not wanted: (
                    asked["", c.bridge] >= MOST_OF_ONE * count,
                    even and asked[c.type, c.bridge],
                    even and asked[c.type, c.hop2.object],
                    subjects[c.hop1.subject],
                    even and asked["", c.bridge],
                ),
            )
            pool.remove(chain)
            asked.update([(type, chain.bridge), (type, chain.hop2.object), ("", chain.bridge)])
            subjects[chain.hop1.subject] += 1
            chosen.append(chain)
    return chosen


def _quotas(types: Iterable[str], available: dict[str, int], count: int) -> dict[str, int]:
    """How many questions of each type: as even as what there is allows, fewer of those that few models know."""
    weights = {t: RARE_WEIGHT if RARELY_KNOWN & {*t.split("+")} else 1.0 for t in types}
    quotas = dict.fromkeys(sorted(weights), 0)
    while sum(quotas.values()) < count:
        open_types = [t for t in quotas if quotas[t] < available[t]]
        if not open_types:
            break
        quotas[min(open_types, key=lambda t: (quotas[t] / weights[t], t))] += 1
    return quotas


def _two_hop(chain: Chain, id: str) -> GoldQuestion:
    """A chain as a question, in wordings that its subject picks."""
    rng = random.Random(f"{chain.type} {chain.hop1.subject}")
    first, second = rng.choice(_first(chain.hop1)), rng.choice(SECOND[chain.hop2.relation])
    noun, cloze, question = (_about(text, chain.hop1) for text in (first.noun, first.cloze, first.question))
    bridge = country_with_article(chain.bridge) if chain.kind == "country" else chain.bridge
    answers = _answers(chain.hop2)
    return GoldQuestion(
        id=id,
        question=capitalised(second.question.format(noun)),
        hop1=capitalised(cloze),
        hop2=second.cloze,
        direct=capitalised(second.cloze.format(noun)),
        hop1_question=capitalised(question),
        hop2_question=second.question,
        bridge=bridge,
        bridge_aliases=_not_in(noun, _answers(chain.hop1)),
        answer=chain.hop2.object,
        answer_aliases=_not_in(noun, answers),
        type=chain.type,
    )


def capitalised(text: str) -> str:
    """The text with its first letter in upper case, unless it begins with a name that is written small: miHoYo."""
    return text if re.match(r"[a-z]+[A-Z]", text) else corpus.capitalised(text)


def _answers(fact: Fact) -> tuple[str, ...]:
    """The other names of a fact's object, and what else is right of this subject: ZAR of South Africa."""
    also = rows_of("currency_of" if fact.relation == "country_currency" else fact.relation).get(fact.subject, ())
    return tuple(dict.fromkeys((*aliases(_kind(fact.relation), fact.object, fact.aliases), *also)))


def _first(fact: Fact) -> tuple[First, ...]:
    return BRANDS if fact.subject in OWNED and fact.relation == "product_company" else FIRST[fact.relation]


def _about(text: str, fact: Fact) -> str:
    """A wording with its subject, article and verb included."""
    verb = "are" if is_plural(fact.subject) else "is"
    return text.replace("[is]", verb).format(with_article(fact.relation, fact.subject, fact.object))


def _not_in(noun: str, names: Iterable[str]) -> tuple[str, ...]:
    """The names that the question does not use itself."""
    return tuple(name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", noun, re.IGNORECASE))


def _one_hop(chains: Sequence[Chain], count: int) -> list[GoldQuestion]:
    """Facts that lead to a bridge and facts about one, in equal parts, evenly over the relations."""
    rng = random.Random("real one hop")
    by_relation: dict[tuple[int, str], list[Fact]] = defaultdict(list)
    for chain in rng.sample(chains, len(chains)):
        if chain.hop1.subject in _famous():
            for side, fact in enumerate((chain.hop1, chain.hop2)):
                if fact not in by_relation[side, fact.relation]:
                    by_relation[side, fact.relation].append(fact)
    asked: list[GoldQuestion] = []
    for side in (0, 1):
        relations = sorted(relation for at, relation in by_relation if at == side)
        for number in range(count // 2):
            fact = by_relation[side, relations[number % len(relations)]].pop()
            asked.append(_single(fact, side, f"real-one_hop-{len(asked)}", rng))
    return asked


def _single(fact: Fact, side: int, id: str, rng: random.Random) -> GoldQuestion:
    if side == 0:
        question = _about(rng.choice(_first(fact)).question, fact)
    else:
        subject = country_with_article(fact.subject) if fact.relation.startswith("country_") else fact.subject
        question = rng.choice(SECOND[fact.relation]).question.format(subject)
    return GoldQuestion(
        id=id,
        question=capitalised(question),
        answer=fact.object,
        answer_aliases=_answers(fact),
        type=f"one_hop:{fact.relation}",
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m eval.real_questions FOLDER")
    for name, questions in real_suite().items():
        save_questions(Path(sys.argv[1]) / f"{name}.jsonl", questions)
