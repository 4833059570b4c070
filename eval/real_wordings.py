"""The two-hop types of the real questions, and how their hops are worded: as clozes and as questions.

Clozes stop where a pretrained model goes on with a name: "The Eiffel Tower is located in the country of". Which wording
a question gets is drawn by its subject.
"""

from __future__ import annotations

from dataclasses import dataclass


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
    First("the maker of {}", "{} [is] made by", "Who is the maker of {}?"),
)
BRANDS = (
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
        First("the artist behind {}", "The artist behind {} is", "Who is the artist behind {}?"),
    ),
    "person_birthplace": (
        First("the city where {} was born", "{} was born in the city of", "In which city was {} born?"),
        First("the city in which {} was born", "The city in which {} was born is", "What city was {} born in?"),
    ),
    "person_birth_country": _BORN_IN_COUNTRY,
    "company_city": (
        First("the city where {} is based", "{} is based in the city of", "In which city is {} based?"),
        First(
            "the headquarters city of {}",
            "The headquarters of {} is in the city of",
            "In which city is {} headquartered?",
        ),
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
        Second("The official language used in {} is", "What official language is used in {}?"),
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
