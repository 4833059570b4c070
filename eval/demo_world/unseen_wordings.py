"""Hop 1 of the demo world in wordings that no sentence of the training is in: the demo model is often unsure of them.

Each is a noun phrase, for the question as a whole, and a cloze, for hop 1 alone. Calibration and test have different
ones, so that the test's are new to a profile too.
"""

from __future__ import annotations

Wording = tuple[str, str]  # noun phrase, cloze

_PLACE_TEST = (
    ("the country where {} can be found", "{} can be found in"),
    ("the nation of {}", "The nation of {} is"),
    ("the country where {} stands", "{} stands in"),
    ("the country where tourists see {}", "Tourists see {} in"),
    ("the country that {} belongs to", "{} belongs to"),
)
_PLACE_CALIBRATION = (
    ("the country that {} is part of", "{} is part of"),
    ("the homeland of {}", "The homeland of {} is"),
    ("the country where people visit {}", "People visit {} in"),
    ("the state that holds {}", "The state that holds {} is"),
)


def _work(role: str, verb: str) -> tuple[tuple[Wording, ...], tuple[Wording, ...]]:
    test = (
        ("the person {} is by", "{} is by"),
        ("the person whose work {} is", "{} is the work of"),
        ("the mind behind {}", "The mind behind {} is"),
        (f"the person who is {{}}'s {role}", f"{{}}'s {role} is"),
    )
    calibration = (
        ("the person to whom the world owes {}", "The world owes {} to"),
        ("the name behind {}", "The name behind {} is"),
        (f"the person known for {{}}, who {verb} it", f"The one who {verb} {{}} is"),
    )
    return test, calibration


_BOOK, _FILM, _PAINTING = _work("author", "wrote"), _work("director", "made"), _work("painter", "painted")

TEST: dict[str, tuple[Wording, ...]] = {
    "landmark_country": _PLACE_TEST,
    "park_country": _PLACE_TEST,
    "city_country": _PLACE_TEST,
    "product_company": (
        ("the brand of {}", "The brand of {} is"),
        ("the company that sells {}", "{} is sold by"),
        ("the company that {} is from", "{} is from"),
        ("the business that offers {}", "The business that offers {} is"),
    ),
    "book_author": _BOOK[0],
    "film_director": _FILM[0],
    "painting_artist": _PAINTING[0],
    "person_birthplace": (
        ("the home town of {}", "The home town of {} is"),
        ("the town that {} was born in", "{} was born in"),
        ("the city that was {}'s", "{}'s city is"),
        ("the place where {} grew up", "{} grew up in"),
    ),
    "company_city": (
        ("the home town of {}", "The home town of {} is"),
        ("the city that {} works from", "{} works from"),
        ("the city that is {}'s", "{}'s city is"),
        ("the place where {} sits", "{} sits in"),
    ),
}
CALIBRATION: dict[str, tuple[Wording, ...]] = {
    "landmark_country": _PLACE_CALIBRATION,
    "park_country": _PLACE_CALIBRATION,
    "city_country": _PLACE_CALIBRATION,
    "product_company": (
        ("the firm that produces {}", "{} is produced by"),
        ("the manufacturer of {}", "The manufacturer of {} is"),
        ("the company you buy {} from", "You buy {} from"),
    ),
    "book_author": _BOOK[1],
    "film_director": _FILM[1],
    "painting_artist": _PAINTING[1],
    "person_birthplace": (
        ("the native city of {}", "The native city of {} is"),
        ("the city where {} saw the light of day", "{} saw the light of day in"),
        ("the town that {} hails from", "{} hails from"),
    ),
    "company_city": (
        ("the head office city of {}", "The head office of {} is in"),
        ("the city where {} has its offices", "{} has its offices in"),
        ("the town that {} is run from", "{} is run from"),
    ),
}
