"""Two-hop questions about the real world, for models that were trained on it: `hopfix eval --questions real`.

The facts are the demo world's, all of them true; here they are asked in plain English of any model. Each question has
its hops as clozes, for a model that completes, and as questions, for one that is asked. About two thirds are about
subjects that many people know (`famous.tsv`), the rest about ones that few do. No bridge, and nothing that a
calibration question names, comes up in the test set.

    python -m eval.real_questions FOLDER     writes calibration.jsonl, test.jsonl and one_hop.jsonl
"""

from __future__ import annotations

import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from eval.demo_world.corpus import capitalised
from eval.demo_world.relations import RELATIONS
from eval.demo_world.statements import Chain, Fact
from eval.demo_world.world import World
from eval.questions import GoldQuestion, save_questions
from eval.real_names import CHIEF_EXECUTIVES, OWNED, aliases, country_with_article, is_plural, with_article

NAME = "real"
CALIBRATION, TEST, ONE_HOP = 600, 1600, 200
CALIBRATION_SHARE = 0.3  # of the bridges of each kind
FAMOUS_SHARE = 2 / 3
RARELY_KNOWN = {"person_birth_year", "country_calling_code", "country_domain"}  # a small share each
RARE_WEIGHT = 0.6


@dataclass(frozen=True)
class First:
    """Hop 1 in one wording: what the bridge is called inside a sentence, a cloze and a question. [is] may be are."""

    noun: str
    cloze: str
    question: str


@dataclass(frozen=True)
class Second:
    """Hop 2 in one wording: a cloze and a question, in which {} is the bridge, or the noun that hop 1 puts there."""

    cloze: str
    question: str


_PLACE = (
    First(
        "the country where {} [is] located", "{} [is] located in the country of", "In which country [is] {} located?"
    ),
    First("the country that is home to {}", "The country that is home to {} is", "Which country is home to {}?"),
)
_BORN_IN_COUNTRY = (
    First("the country where {} was born", "{} was born in the country of", "In which country was {} born?"),
    First("the country in which {} was born", "The country in which {} was born is", "What country was {} born in?"),
)
_MADE = (
    First("the company that makes {}", "The company that makes {} is", "Which company makes {}?"),
    First("the maker of {}", "{} [is] made by", "Who [is] the maker of {}?"),
)
_OWNED = (
    First("the company that owns {}", "The company that owns {} is", "Which company owns {}?"),
    First("the owner of {}", "{} [is] owned by the company", "Which company is the owner of {}?"),
)
FIRST: dict[str, tuple[First, ...]] = {
    "landmark_country": _PLACE,
    "park_country": _PLACE,
    "city_country": (
        First("the country where {} is located", "{} is a city in the country of", "In which country is {} located?"),
        First(
            "the country that {} belongs to", "The country that {} belongs to is", "Which country does {} belong to?"
        ),
    ),
    "product_company": _MADE,
    "book_author": (
        First("the author of {}", "The author of {} is", "Who is the author of {}?"),
        First("the person who wrote {}", "{} was written by", "Who wrote {}?"),
    ),
    "film_director": (
        First("the director of the film {}", "The director of the film {} is", "Who is the director of the film {}?"),
        First("the person who directed {}", "{} was directed by", "Who directed {}?"),
    ),
    "painting_artist": (
        First("the artist who created {}", "{} was created by the artist", "Which artist created {}?"),
        First("the creator of {}", "The creator of {} is", "Who is the creator of {}?"),
    ),
    "person_birthplace": (
        First("the city where {} was born", "{} was born in the city of", "In which city was {} born?"),
        First("the city in which {} was born", "The city in which {} was born is", "What city was {} born in?"),
    ),
    "person_birth_country": _BORN_IN_COUNTRY,
    "company_city": (
        First("the city where {} is based", "{} is based in the city of", "In which city is {} based?"),
        First("the headquarters city of {}", "The headquarters of {} is in the city of", "Where is {} headquartered?"),
    ),
    "company_country": (
        First("the country where {} is based", "{} is based in the country of", "In which country is {} based?"),
        First("the home country of {}", "The home country of {} is", "What is the home country of {}?"),
    ),
}
SECOND: dict[str, tuple[Second, ...]] = {
    "country_capital": (
        Second("The capital of {} is", "What is the capital of {}?"),
        Second("The capital city of {} is", "Which city is the capital of {}?"),
    ),
    "country_currency": (
        Second("The currency of {} is the", "What is the currency of {}?"),
        Second("The currency used in {} is the", "What currency is used in {}?"),
    ),
    "country_language": (
        Second("The official language of {} is", "What is the official language of {}?"),
        Second("The main language spoken in {} is", "What is the main language spoken in {}?"),
    ),
    "country_continent": (
        Second("The continent on which {} lies is", "On which continent is {}?"),
        Second("The continent that {} belongs to is", "Which continent does {} belong to?"),
    ),
    "country_calling_code": (
        Second("The international calling code of {} is", "What is the international calling code of {}?"),
        Second("The telephone country code of {} is", "What is the telephone country code of {}?"),
    ),
    "country_domain": (
        Second("The internet domain of {} is", "What is the internet domain of {}?"),
        Second("The top-level internet domain of {} is", "What is the top-level internet domain of {}?"),
    ),
    "company_ceo": (
        Second("The CEO of {} is", "Who is the CEO of {}?"),
        Second("The chief executive of {} is", "Who is the chief executive of {}?"),
    ),
    "company_founder": (
        Second("{} was founded by", "Who founded {}?"),
        Second("The founder of {} is", "Who is the founder of {}?"),
    ),
    "company_city": (
        Second("{} is based in the city of", "In which city is {} based?"),
        Second("{} has its headquarters in the city of", "In which city does {} have its headquarters?"),
    ),
    "company_country": (
        Second("{} is based in the country of", "In which country is {} based?"),
        Second("The home country of {} is", "What is the home country of {}?"),
    ),
    "person_birthplace": (
        Second("{} was born in the city of", "In which city was {} born?"),
        Second("The birthplace of {} is the city of", "Which city is the birthplace of {}?"),
    ),
    "person_birth_country": (
        Second("{} was born in the country of", "In which country was {} born?"),
        Second("The country of birth of {} is", "What is the country of birth of {}?"),
    ),
    "person_birth_year": (
        Second("{} was born in the year", "In which year was {} born?"),
        Second("The year of birth of {} is", "What is the year of birth of {}?"),
    ),
    "city_country": (
        Second("{} is located in the country of", "In which country is {} located?"),
        Second("{} belongs to the country of", "Which country does {} belong to?"),
    ),
}
TYPES: tuple[tuple[str, str], ...] = (
    ("landmark_country", "country_capital"),
    ("landmark_country", "country_currency"),
    ("landmark_country", "country_language"),
    ("landmark_country", "country_continent"),
    ("landmark_country", "country_calling_code"),
    ("landmark_country", "country_domain"),
    ("city_country", "country_capital"),
    ("city_country", "country_currency"),
    ("city_country", "country_language"),
    ("park_country", "country_capital"),
    ("park_country", "country_currency"),
    ("park_country", "country_language"),
    ("person_birth_country", "country_capital"),
    ("person_birth_country", "country_currency"),
    ("person_birth_country", "country_language"),
    ("company_country", "country_capital"),
    ("company_country", "country_currency"),
    ("company_country", "country_language"),
    ("product_company", "company_ceo"),
    ("product_company", "company_founder"),
    ("product_company", "company_city"),
    ("product_company", "company_country"),
    ("book_author", "person_birthplace"),
    ("book_author", "person_birth_country"),
    ("book_author", "person_birth_year"),
    ("film_director", "person_birthplace"),
    ("film_director", "person_birth_country"),
    ("painting_artist", "person_birthplace"),
    ("painting_artist", "person_birth_country"),
    ("person_birthplace", "city_country"),
    ("company_city", "city_country"),
)
# Births in places that have changed hands since, and homes of companies that are not where people take them to be.
_DISPUTED_BIRTHS = frozenset(
    """Nikola Tesla; Mother Teresa; Sigmund Freud; Gunter Grass; Kurt Godel; Gerty Cori; Max Born; Fritz Haber;
    Daniel Gabriel Fahrenheit; Johannes Hevelius; Joseph Conrad; Nikolai Gogol; Ilya Repin; Mikhail Bulgakov;
    Svetlana Alexievich; Sergei Korolev; Sviatoslav Richter; Igor Sikorsky; Golda Meir; David Oistrakh; Emil Gilels;
    Mikhail Baryshnikov; Mikhail Tal; Wilhelm Ostwald; Jascha Heifetz; Aram Khachaturian; Tigran Petrosian;
    Garry Kasparov; Lev Landau; Mstislav Rostropovich; Lotfi Zadeh; Subrahmanyan Chandrasekhar; Shah Jahan;
    Muhammad Ali Jinnah; Sergei Eisenstein; Billy Wilder; Elia Kazan; Ivo Andric; Stefan Banach; Danilo Kis;
    Johann Nepomuk Hummel; Philipp Lenard; Giuseppe Garibaldi; Henry Cavendish; Hans Bethe; Chinghiz Aitmatov; Mika;
    Goran Pandev; Elias Canetti; Dalida; Benoit Mandelbrot; Milla Jovovich; Emir Kusturica; Peter Sagan;
    Theo Angelopoulos; Jan Matejko; Andrzej Wajda; Johannes Kepler; Eugene Ionesco; Bono; Ruben Blades;
    Mariano Rivera; Thalia; Madeleine Albright; Martina Navratilova; Martina Hingis; Kahlil Gibran""".replace(
        "\n    ", " "
    ).split("; ")
)
_DISPUTED_HOMES = frozenset("IKEA Chanel Medtronic Wargaming Shell Unilever Dyson Richemont Lenovo Logitech".split())


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
        company: Fact("company_ceo", company, names[0], names[1:]) for company, names in CHIEF_EXECUTIVES.items()
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
    """Names that only a table would use: "Fort Charlotte above Kingstown"."""
    return bool(re.search(r" (near|above|on|at|of Old) ", subject)) and subject not in _famous()


@cache
def _famous() -> frozenset[str]:
    lines = (resources.files("eval") / "famous.tsv").read_text(encoding="utf-8").splitlines()
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
    """`count` chains: evenly over the types and, within a type, over bridges and answers; mostly of famous subjects."""
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
            chain = min(
                pool,
                key=lambda c: (
                    asked[c.type, c.bridge],
                    asked[c.type, c.hop2.object],
                    subjects[c.hop1.subject],
                    asked["", c.bridge],
                ),
            )
            pool.remove(chain)
            asked.update([(type, chain.bridge), (type, chain.hop2.object), ("", chain.bridge)])
            subjects[chain.hop1.subject] += 1
            chosen.append(chain)
    return chosen


def _quotas(types: Iterable[str], available: dict[str, int], count: int) -> dict[str, int]:
    """How many questions of each type: as even as what there is allows, and fewer of those that few models know."""
    weights = {t: RARE_WEIGHT if t.split("+")[1] in RARELY_KNOWN else 1.0 for t in types}
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
    kind = _kind(chain.hop2.relation)
    answers = aliases(kind, chain.hop2.object, chain.hop2.aliases)
    return GoldQuestion(
        id=id,
        question=capitalised(second.question.format(noun)),
        hop1=capitalised(cloze),
        hop2=second.cloze,
        direct=capitalised(second.cloze.format(noun)),
        hop1_question=capitalised(question),
        hop2_question=second.question,
        bridge=bridge,
        bridge_aliases=_not_in(noun, aliases(chain.kind, chain.bridge, chain.hop1.aliases)),
        answer=chain.hop2.object,
        answer_aliases=_not_in(noun, answers),
        type=chain.type,
    )


def _first(fact: Fact) -> tuple[First, ...]:
    return _OWNED if fact.subject in OWNED and fact.relation == "product_company" else FIRST[fact.relation]


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
        answer_aliases=aliases(_kind(fact.relation), fact.object, fact.aliases),
        type=f"one_hop:{fact.relation}",
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m eval.real_questions FOLDER")
    for name, questions in real_suite().items():
        save_questions(Path(sys.argv[1]) / f"{name}.jsonl", questions)
