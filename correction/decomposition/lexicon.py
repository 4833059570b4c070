"""The closed classes of English that the question grammar stands on, and the masking of names.

No tagger and no word list of any dataset: function words, the common verbs that link two entities, and capitals.
"""

from __future__ import annotations

import re

AUXILIARIES = frozenset("is are was were be been being has have had does do did can could will would 's".split())
MODALS = frozenset("can could will would may might".split())
RELATIVES = frozenset("where that which who whom whose".split())
# "someone born in ...": stands for the bridge without saying what it is.
ANYONE = frozenset("someone somebody one person man woman something".split())
PREPOSITIONS = frozenset("in on at of to from by with for behind as under into near within inside about after".split())
DETERMINERS = frozenset("the a an its their his her this that".split())
WH = frozenset("what what's who who's whom whose which where where's when when's how how's".split())
# "that's all": a contraction, nothing is owned.
_CONTRACTIONS = WH | frozenset("that's it's there's here's let's he's she's this's one's everything's".split())
PARTICIPLES = frozenset(
    """born located based situated founded headquartered made created written directed painted produced manufactured
    built developed spoken used called named established set found authored sold owned released started run led headed
    published composed designed invented sculpted raised registered placed established derived""".split()
)
VERBS = frozenset(
    """wrote writes penned authored directed directs made makes make produces produced produce manufactures manufactured
    builds built created creates painted paints sculpted drew designed designs founded founds established started leads
    led runs ran heads headed owns owned sells sold develops developed released publishes published invented composed
    sang performed lies lie sits sit stands stand belongs belong contains contain hosts host houses house includes
    include speaks speak uses use used pays pay lives live comes come came hails hail borders invented starred stars
    plays played shot filmed rises rise flows falls occupies encompasses holds operates launched launches originated
    originates calls call employs starts end ends find finds see sees offers offer markets brought brings put puts
    gave gives came got gets took wore won sets situates surrounds claims owe owes
    keeps keep maintains carved crafted helmed illustrated coined discovered authored sculpts carries carry
    bears bear features""".split()
)
BASE_VERBS = frozenset(
    """use have speak lie sit belong come hail pay call stand live run go start begin fall found make take employ need
    work get see say hold grow end stem originate reside fall""".split()
)
# "the city of Paris" names Paris; it asks for nothing.
APPOSITIVES = frozenset("city town village state kingdom republic island province isle gulf bay sea battle".split())

# What an entity is to another: heads of descriptions. "the author of X" is one, "the catcher in the rye" a title.
ROLES = frozenset(
    """country nation state land place territory continent region county province city town village birthplace hometown
    home headquarters hq capital seat company firm corporation business organization organisation brand maker makers
    manufacturer producer developer publisher owner parent author writer novelist poet playwright director filmmaker
    artist painter sculptor creator designer inventor architect composer singer performer band musician actor actress
    star founder ceo boss chief head leader president king queen ruler mayor person man woman guy one someone father
    mother wife husband spouse child brother sister teacher university school team club league currency
    language religion river location birth origin whoever""".split()
)
# "the movie Blade Runner" is Blade Runner; "the country Blade Runner ..." is not.
CATEGORIES = frozenset(
    """movie film book novel play poem painting picture sculpture statue song album product brand phone game console car
    app landmark monument mountain volcano lake river temple castle museum tower bridge park""".split()
)
_CONNECTORS = frozenset(
    """of the & and in to a an for on at de la le del von van with by from above over under upon without among
    against""".split()
)
_TOKEN = re.compile(r"[^\s,?!;]+|[,?!;]")
_POSSESSIVE = re.compile(r"(?:'s|’s|s['’])$")


def tokens(text: str) -> list[re.Match[str]]:
    """Words and punctuation with their places; a possessive stays on its word."""
    return list(_TOKEN.finditer(text))


def is_possessive(word: str) -> bool:
    """Whether a word ends in 's (or s')."""
    return bool(_POSSESSIVE.search(word)) and word.lower().replace("’", "'") not in _CONTRACTIONS


def bare(word: str) -> str:
    """The word in lower case, without a possessive ending and outer punctuation."""
    return _POSSESSIVE.sub("", word).strip("\"'“”‘’.:()").lower()


def _joins(word: str, distance: int) -> bool:
    """Whether a word can stand inside a name: a connector, or one foreign word ("Bouvard et Pecuchet")."""
    if bare(word) in _CONNECTORS:
        return True
    known = AUXILIARIES | RELATIVES | PREPOSITIONS | DETERMINERS | WH | PARTICIPLES | VERBS | BASE_VERBS
    return distance == 1 and word.isalpha() and word.islower() and bare(word) not in known


def name_mask(words: list[str]) -> list[bool]:
    """Which words belong to names: capitalised ones not at the start, and connectors between two of them.

    A quoted span is a name, too.
    """
    capital = [bool(re.match(r"[\"“‘']?(?:[A-Z0-9+.]|[a-z]+[A-Z])", word)) for word in words]
    if words and capital[0]:
        follows = len(words) > 1 and capital[1]
        starter = bare(words[0]) in WH | AUXILIARIES | PREPOSITIONS | {"the", "name", "tell", "give", "state", "please"}
        article_of_name = bare(words[0]) == "the" and follows
        capital[0] = (not starter) or article_of_name
    for index in range(
        1, len(words) - 1
    ):  # "the CEO of E", "the HQ city": an acronym in a relation's place is its noun
        following = words[index + 1]
        is_noun = following == "of" or (
            following.islower() and bare(following) not in AUXILIARIES | VERBS | PREPOSITIONS
        )
        if words[index].isupper() and words[index - 1].lower() == "the" and is_noun:
            capital[index] = False
        joined = index > 1 and bare(words[index - 1]) in _CONNECTORS and capital[index - 2]
        if words[index].isdigit() and not capital[index - 1] and not joined:
            capital[index] = False
    mask = list(capital)
    for start, named in enumerate(capital):
        end = start + 1
        while named and not is_possessive(words[start]) and end < len(words) and _joins(words[end], end - start):
            end += 1
        if end > start + 1 and end < len(words) and capital[end]:
            mask[start + 1 : end] = [True] * (end - start - 1)
    quoted = False
    for index, word in enumerate(words):
        opens = word[0] in '"“'
        closes = word.rstrip(".").removesuffix("'s")[-1:] in ('"', "”") and (quoted or len(word) > 1)
        quoted = quoted or opens
        mask[index] = mask[index] or quoted
        if closes:
            quoted = False
    return mask


# What may itself be a bridge in a chain: people, places and organisations that a question can go on from.
BRIDGES = frozenset(
    "country nation state homeland birth-country city town village birthplace hometown continent island region "
    "company maker manufacturer firm brand producer organisation organization university school team club band "
    "author writer director filmmaker artist painter sculptor creator composer singer inventor founder person "
    "man woman husband wife spouse father mother son daughter brother sister king queen president leader".split()
) | {"home city", "home town", "native country", "birth country", "country of birth", "city of birth", "place of birth"}
