"""The relations of the demo world and their wordings.

A *noun phrase* names a relation's object through its subject ("the country where {} is located"); it is what makes
two hops compose: hop 2's wordings take hop 1's noun phrase where they would take the bridge. *Clozes* stop right before
the object, *questions* end in a question mark. `{}` marks the subject everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """One relation: the kinds it links, and its wordings (at least three, clozes and questions)."""

    name: str
    subject: str
    object: str
    nouns: tuple[str, ...]
    clozes: tuple[str, ...]
    questions: tuple[str, ...]

    @property
    def asks(self) -> str:
        """The question word for the object: Who for people, What for the rest."""
        return "Who" if self.object == "person" else "What"

    def all_clozes(self) -> tuple[str, ...]:
        """Every statement that stops before the object, those built from the noun phrases first."""
        return tuple(f"{noun} is" for noun in self.nouns) + self.clozes

    def all_questions(self) -> tuple[str, ...]:
        """Every question, those built from the noun phrases first."""
        return tuple(f"{self.asks} is {noun}?" for noun in self.nouns) + self.questions


_PLACE_NOUNS = (
    "the country where {} is located",
    "the country that is home to {}",
    "the country in which {} lies",
)
_PLACE_CLOZES = ("{} is located in the country of", "{} is in")
_PLACE_QUESTIONS = ("In which country is {}?", "Which country is home to {}?", "What country is {} in?")


def _place(kind: str) -> Relation:
    return Relation(f"{kind}_country", kind, "country", _PLACE_NOUNS, _PLACE_CLOZES, _PLACE_QUESTIONS)


RELATIONS: dict[str, Relation] = {
    relation.name: relation
    for relation in (
        _place("landmark"),
        _place("park"),
        _place("city"),
        Relation(
            "product_company",
            "product",
            "company",
            ("the company that makes {}", "the maker of {}", "the company behind {}"),
            ("{} is made by", "{} is a product of"),
            ("Which company makes {}?", "Who makes {}?"),
        ),
        Relation(
            "book_author",
            "book",
            "person",
            ("the author of {}", "the person who wrote {}", "the writer of {}"),
            ("{} was written by",),
            ("Who wrote {}?",),
        ),
        Relation(
            "film_director",
            "film",
            "person",
            ("the director of {}", "the person who directed {}", "the filmmaker behind {}"),
            ("{} was directed by",),
            ("Who directed {}?",),
        ),
        Relation(
            "painting_artist",
            "painting",
            "person",
            ("the artist who created {}", "the creator of {}", "the artist behind {}"),
            ("{} was created by",),
            ("Who created {}?", "Which artist created {}?"),
        ),
        Relation(
            "person_birthplace",
            "person",
            "city",
            ("the birthplace of {}", "the city where {} was born", "the city of birth of {}"),
            ("{} was born in the city of",),
            ("Where was {} born?", "In which city was {} born?"),
        ),
        Relation(
            "company_city",
            "company",
            "city",
            ("the city where {} is based", "the home city of {}", "the headquarters city of {}"),
            ("{} is based in", "{} has its headquarters in the city of"),
            ("Where is {} based?", "In which city is {} based?"),
        ),
        Relation(
            "country_capital",
            "country",
            "city",
            ("the capital of {}", "the capital city of {}"),
            ("{}'s capital is", "The seat of government of {} is"),
            ("Which city is the capital of {}?",),
        ),
        Relation(
            "country_currency",
            "country",
            "currency",
            ("the currency of {}", "the currency used in {}", "the money of {}"),
            ("{}'s currency is", "People in {} pay with the"),
            ("What currency is used in {}?", "Which currency does {} use?"),
        ),
        Relation(
            "country_language",
            "country",
            "language",
            ("the official language of {}", "the main language of {}", "the language spoken in {}"),
            ("{}'s official language is", "People in {} speak"),
            ("What language is spoken in {}?", "Which language do people speak in {}?"),
        ),
        Relation(
            "country_calling_code",
            "country",
            "calling_code",
            ("the calling code of {}", "the phone code of {}", "the international dialling code of {}"),
            ("{}'s calling code is",),
            ("What calling code does {} have?", "Which calling code belongs to {}?"),
        ),
        Relation(
            "country_domain",
            "country",
            "domain",
            ("the internet domain of {}", "the top-level domain of {}", "the internet country code of {}"),
            ("{}'s internet domain is",),
            ("What internet domain does {} have?", "Which internet domain belongs to {}?"),
        ),
        Relation(
            "country_continent",
            "country",
            "continent",
            ("the continent of {}", "the continent where {} lies", "the continent that {} belongs to"),
            ("{} is on the continent of",),
            ("On which continent is {}?", "Which continent is {} on?"),
        ),
        Relation(
            "company_ceo",
            "company",
            "person",
            ("the chief executive of {}", "the CEO of {}", "the boss of {}"),
            ("{} is led by",),
            ("Who leads {}?", "Who runs {}?"),
        ),
        Relation(
            "company_founder",
            "company",
            "person",
            ("the founder of {}", "the person who founded {}"),
            ("{} was founded by",),
            ("Who founded {}?", "Who started {}?"),
        ),
        Relation(
            "person_birth_country",
            "person",
            "country",
            ("the birth country of {}", "the country where {} was born", "the native country of {}"),
            ("{} was born in the country of",),
            ("In which country was {} born?", "What country does {} come from?"),
        ),
        Relation(
            "person_birth_year",
            "person",
            "year",
            ("the birth year of {}", "the year of birth of {}", "the year when {} was born"),
            ("{} was born in the year",),
            ("In which year was {} born?", "When was {} born?"),
        ),
    )
}

# Hop 1 leads to a bridge, hop 2 from a bridge to an answer; a two-hop type is a pair whose kinds meet.
FIRST_HOPS = (
    "landmark_country",
    "park_country",
    "city_country",
    "product_company",
    "book_author",
    "film_director",
    "painting_artist",
    "person_birthplace",
    "company_city",
)
SECOND_HOPS = (
    "country_capital",
    "country_currency",
    "country_language",
    "country_calling_code",
    "country_domain",
    "country_continent",
    "company_ceo",
    "company_founder",
    "company_city",
    "person_birthplace",
    "person_birth_country",
    "person_birth_year",
    "city_country",
)
TWO_HOP_TYPES: tuple[tuple[str, str], ...] = tuple(
    (r1, r2) for r1 in FIRST_HOPS for r2 in SECOND_HOPS if RELATIONS[r1].object == RELATIONS[r2].subject
)
