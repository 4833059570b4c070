"""Reads the hops of a question from its grammar.

A two-hop question holds a *description*: a noun phrase that names the bridge through another entity ("the country
where Kruger National Park is located", "the author of Dune", "Dune's author"). The innermost description is hop 1; what
remains, with `{}` in its place, is hop 2, if it still asks for something. Shapes, not relations: nothing here knows
what a currency is.
"""

from __future__ import annotations

import re

from correction.decomposition.descriptions import Description, descriptions
from correction.decomposition.lexicon import AUXILIARIES, BRIDGES, PREPOSITIONS, VERBS, WH, bare
from correction.decomposition.sentences import split_clauses
from correction.questions import BLANK, Hops

_POLITE = re.compile(
    r"^(?:please|hey|hi|hello|ok|okay|so|well|now|quick question|question)\b[,:]?\s+|[,]?\s*\bplease\b(?=\W*$)", re.I
)
_REQUEST = re.compile(
    r"^(?:(?:can|could|would|will) you (?:please )?)?(?:please )?"
    r"(?:tell me|let me know|give me|give|name|state|identify|find|say|list|provide|specify|determine"
    r"|i(?:'d| would) like to know|i want to know|i wonder|do you know|any idea)\s+",
    re.I,
)
# What remains asks for nothing but the description itself.
_TRIVIAL = re.compile(
    r"^(?:(?:what|who|which|where|whose)(?:(?: \w+){0,2} (?:is|are|was|were)|'s|’s)(?: called| named| known as)? \{\}"
    r"|\{\}(?: (?:is|was|are|were|called|named))?(?: (?:what|who|which \w+|called|named|known as))*"
    r"|(?:is|was|does|did|has) \{\})$",
    re.I,
)
_ASKS_NOUN = re.compile(r"^(?:what|who|which)(?:(?: one)? (?:is|are|was|were)|'s|’s) ((?:the |an? )?.*\{\}.*)$", re.I)
_FRONTED = re.compile(r"^(in|for|at|on|of|from|to|within|about|as for|regarding|considering|take) \{\},? (.+)$", re.I)


_STAND_IN = "Xyzzyx"  # a name for a bridge that is not known yet
_MOST_HOPS = 4
# Characters, three times those of the longest wording tried. The time goes with the square and more of a text's length,
# and a service reads what strangers write.
LONGEST = 300
# The noun that a description is of: "The {home city} of Roche is", "The {country} where {} lies is".
_HEAD = re.compile(r"^(?:The|An?) ((?:[\w-]+ )*?[\w-]+)(?= (?:of|that|where|who|which|whose|in|behind|from)\b)", re.I)
# What is left asks for something of the bridge's own: "The currency of {} is", "In which country is {}?".
_STILL_ASKS = re.compile(
    r"^(?:The (?!name )[\w -]+ (?:of|in|that|where|which) .*\{\}.* is"
    r"|.*\b(?:what|which|who|where|when)\b [^{]*\w{3}[^{]*\{\}.*\?)$",
    re.I,
)


def split_question(question: str) -> Hops | None:
    """The hops of a question of two to four, or None where none can be read from it, or it is longer than `LONGEST`.

    What remains after hop 1 is read again with a name for the bridge: it may describe a further one.
    """
    hops = _split(question) if len(question) <= LONGEST else None
    if hops is None:
        return None
    chain = [hops.hop1, hops.hop2]
    while len(chain) < _MOST_HOPS:
        outer = _split(chain[-1].replace(BLANK, _STAND_IN))
        if outer is None or not _leads_on(chain[-2], outer):
            break
        chain[-1:] = [outer.hop1.replace(_STAND_IN, BLANK), outer.hop2]
    return Hops(*chain)


def _leads_on(inner: str, outer: Hops) -> bool:
    """Whether the outer description names a further bridge; stricter than for hop 1: it is found in what is left."""
    heads = (_HEAD.match(inner), _HEAD.match(outer.hop1))
    return (
        outer.hop1.count(_STAND_IN) == 1
        and _STAND_IN not in outer.hop2
        and all(head is not None and head.group(1).lower() in BRIDGES for head in heads)
        and _STILL_ASKS.match(outer.hop2) is not None
    )


def _split(question: str) -> Hops | None:
    text = _plain(question)
    clauses = split_clauses(text)
    if clauses is not None:
        return clauses
    asks = question.rstrip().endswith("?") or _starts_question(text)
    for description in sorted(descriptions(text), key=lambda d: (-d.likely, d.end - d.start, -d.start)):
        for read in (description, _without_preposition(description)):
            if read is not None:
                hop2 = _second_hop(f"{text[: read.start]}{BLANK}{text[read.end :]}", asks=asks)
                if hop2 is not None:
                    return Hops(f"{_upper_first(read.phrase)} is", hop2)
    return None


def _without_preposition(description: Description) -> Description | None:
    """The description less a last preposition that the question may own: "Which continent is the country ... on?"."""
    phrase, _, last = description.phrase.rpartition(" ")
    if last.lower() not in PREPOSITIONS:
        return None
    return Description(description.start, description.end - len(last) - 1, phrase, description.likely)


def _plain(question: str) -> str:
    text = " ".join(question.replace("{", "(").replace("}", ")").split())
    text = re.sub(r"\b(that|who|which|what|where|when)['’]s\b", r"\1 is", text, flags=re.I)
    previous = None
    while previous != text:
        previous = text
        text = _POLITE.sub("", text.rstrip("?.!… ")).strip()
    return _REQUEST.sub("", text) if _REQUEST.match(text) else text


def _starts_question(text: str) -> bool:
    words = text.split()
    return (
        bool(words)
        and bare(words[0]) in WH | {"in", "on", "at", "to", "from", "for", "by"}
        and any(bare(word) in WH for word in words[:3])
    )


def _upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _second_hop(rest: str, *, asks: bool) -> str | None:
    """Hop 2 as a cloze or a question, or None if the rest asks for nothing beyond the description."""
    text = " ".join(rest.split()).strip(" ,")
    fronted = _FRONTED.match(text)
    if fronted:
        preposition, clause = fronted.groups()
        clause = _REQUEST.sub("", clause).strip()
        if _noun_only(clause):
            return _cloze(f"{clause} of {BLANK}")
        if BLANK not in clause and clause.split() and bare(clause.split()[0]) in WH | PREPOSITIONS:
            noun = re.match(r"^(?:what|who|which)(?: (?:is|are|was|were)|'s|’s) (the .+)$", clause, re.I)
            if noun:
                return _cloze(f"{noun.group(1)} of {BLANK}")
            place = preposition.lower() if preposition.lower() in ("in", "at", "on", "from", "to") else "in"
            return f"{_upper_first(clause)} {place} {BLANK}?"
        return f"{_upper_first(text)}"
    if _TRIVIAL.match(text):
        return None
    noun_asked = _ASKS_NOUN.match(text)
    if noun_asked and not _has_outer_verb(noun_asked.group(1)):
        return _cloze(noun_asked.group(1))
    text = re.sub(r" (?:is|was|are|were)(?: called| named)? (?:what|who|whom)$", "", text)
    if re.match(r"^(?:the|an?) [^?]*\{\}$", text, re.I) or re.match(r"^\{\}['’]s [a-z -]+$", text):
        return _cloze(text)
    if re.match(r"^(?:the|an?) .*\{\} (?:is|was|are)(?: called| named)?$", text, re.I):
        return _cloze(re.sub(r" (?:is|was|are)(?: called| named)?$", "", text))
    if not re.sub(r"[^a-z]", "", text.replace(BLANK, "").lower()):
        return None
    return f"{_upper_first(text)}?" if asks else _upper_first(text)


def _noun_only(clause: str) -> bool:
    return bool(re.match(r"^the [a-z -]+$", clause)) and not any(word in AUXILIARIES | VERBS for word in clause.split())


def _has_outer_verb(noun: str) -> bool:
    """Whether a verb follows the blank ("the currency {} uses"): then it is no plain noun phrase."""
    after = noun.split(BLANK, 1)[1].split()
    return bool(after) and not after[0].startswith(("'", "’")) and bare(after[0]) not in PREPOSITIONS


def _cloze(noun: str) -> str:
    return f"{_upper_first(noun.strip())} is"
