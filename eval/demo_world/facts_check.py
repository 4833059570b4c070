"""Compares the demo world's facts with public tables, where they overlap: `python -m eval.demo_world.facts_check DIR`.

DIR holds country-codes.csv (datasets/country-codes), samayo's country-json files, function_vectors' and LRE's relation
files and a PopQA table, in the folders named below. Nothing of them is part of hopfix. A fact can be checked if some
table has its subject, and agrees if one of these tables gives its object or an alias; tables contradict one another.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eval.demo_world.world import Fact, World

REQUIRED = 0.98
# (relation, subject, object) as the tables write them.
Entry = tuple[str, str, str]

_SYNONYMS = {
    "united states of america": "united states",
    "usa": "united states",
    "uk": "united kingdom",
    "england": "united kingdom",
    "scotland": "united kingdom",
    "wales": "united kingdom",
    "czechia": "czech republic",
    "cote d ivoire": "ivory coast",
    "timor leste": "east timor",
    "cabo verde": "cape verde",
    "swaziland": "eswatini",
    "burma": "myanmar",
    "myanmar burma": "myanmar",
    "macedonia": "north macedonia",
    "holland": "netherlands",
    "the netherlands": "netherlands",
    "the bahamas": "bahamas",
    "congo kinshasa": "democratic republic of the congo",
    "congo": "democratic republic of the congo",
    "congo brazzaville": "republic of the congo",
    "people s republic of china": "china",
    "russian federation": "russia",
    "turkiye": "turkey",
    "new york city": "new york",
}
_CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "SA": "South America",
    "OC": "Oceania",
}
_SAMAYO = {
    "country_capital": ("capital-city", "city"),
    "country_currency": ("currency-name", "currency_name"),
    "country_calling_code": ("calling-code", "calling_code"),
    "country_domain": ("domain-tld", "tld"),
    "country_continent": ("continent", "continent"),
}
# annexare's official languages, ISO 639-1; samayo's are those spoken at home.
_LANGUAGES = dict(
    pair.split(":")
    for pair in """
    am:amharic ar:arabic ay:aymara az:azerbaijani be:belarusian bg:bulgarian bi:bislama bn:bengali bs:bosnian
    ca:catalan cs:czech da:danish de:german dv:dhivehi dz:dzongkha el:greek en:english es:spanish et:estonian
    fa:persian fi:finnish fj:fijian fr:french ga:irish gn:guarani he:hebrew hi:hindi hr:croatian
    ht:haitian_creole hu:hungarian hy:armenian id:indonesian is:icelandic it:italian ja:japanese ka:georgian
    kk:kazakh km:khmer ko:korean ku:kurdish ky:kyrgyz la:latin lb:luxembourgish lo:lao lt:lithuanian lv:latvian
    mg:malagasy mi:maori mk:macedonian mn:mongolian ms:malay mt:maltese my:burmese na:nauruan nb:norwegian
    ne:nepali nl:dutch nn:norwegian no:norwegian ny:chichewa pl:polish ps:pashto pt:portuguese qu:quechua
    rm:romansh rn:kirundi ro:romanian ru:russian rw:kinyarwanda sg:sango si:sinhala sk:slovak sl:slovenian
    sm:samoan sn:shona so:somali sq:albanian sr:serbian ss:swati st:sotho sv:swedish sw:swahili ta:tamil
    tg:tajik th:thai ti:tigrinya tk:turkmen tl:filipino tn:tswana to:tongan tr:turkish uk:ukrainian ur:urdu
    uz:uzbek vi:vietnamese xh:xhosa zh:chinese zu:zulu af:afrikaans
    """.split()
)
# Chief executives change: the tables are years older than the snapshot, so a difference says nothing.
_DATED = frozenset({"company_ceo"})
_FUNCTION_VECTORS = {
    "country_capital": "country-capital",
    "country_currency": "country-currency",
    "landmark_country": "landmark-country",
    "park_country": "park-country",
    "product_company": "product-company",
}
_LRE = {
    "country_capital": "country_capital_city",
    "country_currency": "country_currency",
    "country_language": "country_language",
    "landmark_country": "landmark_in_country",
    "city_country": "city_in_country",
    "product_company": "product_by_company",
    "company_ceo": "company_ceo",
    "company_city": "company_hq",
}


def reference(folder: Path) -> Iterator[Entry]:
    """All entries of the public tables."""
    with (folder / "countries" / "country-codes.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            country = row["CLDR display name"]
            yield "country_capital", country, row["Capital"]
            yield "country_currency", country, row["ISO4217-currency_name"]
            yield "country_domain", country, row["TLD"]
            yield "country_calling_code", country, row["Dial"]
            yield "country_continent", country, _CONTINENTS.get(row["Continent"], "")
    for relation, (name, field) in _SAMAYO.items():
        for entry in _json(folder / "countries" / "samayo" / f"country-by-{name}.json"):
            values = entry[field]
            for value in values if isinstance(values, list) else [values]:
                yield relation, entry["country"], str(value or "")
    for country in _json(folder / "countries" / "annexare_countries.min.json").values():
        for code in country["languages"]:
            yield "country_language", country["name"], _LANGUAGES.get(code, code).replace("_", " ")
    for relation, name in _FUNCTION_VECTORS.items():
        for entry in _json(folder / "function_vectors" / f"{name}.json"):
            yield relation, entry["input"], entry["output"]
    for relation, name in _LRE.items():
        for entry in _json(folder / "lre" / "factual" / f"{name}.json")["samples"]:
            yield relation, entry["subject"], entry["object"]
    with (folder / "popqa" / "popQA_1000.tsv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            if row["prop"] == "place of birth":
                yield "person_birthplace", row["subj"], row["obj"]


def plain(text: str) -> str:
    """Lower case without accents and punctuation, country names in one spelling."""
    text = re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match.group(1), 16)), text)
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    text = " ".join(re.sub(r"[^a-z0-9]+", " ", text.lower()).split())
    return _SYNONYMS.get(text, text)


def agrees(fact: Fact, said: str) -> bool:
    """Whether a table's object is the fact's: equal, or for currencies ending in it ("South African rand (ZAR)")."""
    names = {plain(name) for name in (fact.object, *fact.aliases)}
    if fact.relation == "country_calling_code":
        return any(re.sub(r"\D", "", code) == re.sub(r"\D", "", fact.object) for code in said.split(","))
    theirs = plain(re.sub(r"\s*\(.*\)", "", said))
    if fact.relation == "country_currency":
        return any(name and (theirs.split()[-len(name.split()) :] == name.split() or name in theirs) for name in names)
    return theirs in names


def main(folder: Path) -> int:
    """Prints a line a relation and every disagreement; 0 if at least 98 % of what can be checked agrees."""
    said: dict[tuple[str, str], list[str]] = defaultdict(list)
    for relation, subject, value in reference(folder):
        if value.strip():
            said[relation, plain(subject)].append(value)
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    differing: list[str] = []
    for fact in World.load():
        row = counts[fact.relation]
        row[0] += 1
        values = said.get((fact.relation, plain(fact.subject)))
        if values:
            row[1] += 1
            if any(agrees(fact, value) for value in values):
                row[2] += 1
            else:
                differing.append(
                    f"{fact.relation}: {fact.subject} -> {fact.object}; tables: {', '.join(sorted(set(values)))}"
                )
    total = sum(row[0] for row in counts.values())
    checked, agreed = (sum(row[i] for name, row in counts.items() if name not in _DATED) for i in (1, 2))
    for relation, row in sorted(counts.items()):
        print(f"{relation:22} {row[0]:5} facts {row[1]:5} checked {row[2]:5} agree")
    print("\n".join(differing))
    print(
        f"{total} facts: {checked} can be checked, {agreed} of them agree ({agreed / max(1, checked):.1%}); "
        f"{1 - checked / total:.1%} cannot be checked here ({', '.join(sorted(_DATED))} left out: the tables are older)"
    )
    return 0 if agreed >= REQUIRED * checked else 1


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
