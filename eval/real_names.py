"""How the names of the demo world's tables are written in English, and what else they are called.

The tables spell in ASCII and with one name each. A pretrained model says "Nestlé", "the United States" or "Bombay", and
is right. Every rule here adds accepted names; none takes one away. `real_aliases.tsv` has what no rule can know.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources


def listed(text: str) -> frozenset[str]:
    """The names of a list that is set with semicolons."""
    return frozenset(" ".join(text.split()).split("; "))


_COUNTRIES_WITH_THE = listed(
    """
    Bahamas; Central African Republic; Comoros; Czech Republic; Democratic Republic of the Congo; Dominican
    Republic; Gambia; Maldives; Marshall Islands; Netherlands; Philippines; Republic of the Congo; Seychelles;
    Solomon Islands; United Arab Emirates; United Kingdom; United States
    """
)
_PAINTINGS_WITH_THE = listed(
    """
    Battle of Grunwald; Beethoven Frieze; Detroit Industry Murals; Doni Tondo; Dying Slave; Feast of the Rosary;
    Little Dancer of Fourteen Years; Madonna of the Goldfinch; Marilyn Diptych; Mona Lisa; Oath of the Horatii;
    Portrait of Adele Bloch-Bauer I; Prussian Homage; Rokeby Venus; Rondanini Pieta; Sistine Madonna; Virgin of the
    Rocks
    """
)
_PRODUCTS_WITH_THE = listed(
    """
    2.55 handbag; 3310 phone; AXE telephone exchange; Air Force 1; Air Jordan; Airblade; Airwrap; An-124 Ruslan;
    An-2 biplane; An-225 Mriya; Atto 3; Bayraktar Akinci; Bayraktar TB2; Bell 407; Big Mac; Billy bookcase; Birkin
    bag; Braava; Challenger 300; Clavinova; Constance bag; Copa Mundial; Cosmograph Daytona; Cristal pen; D850
    camera; DX7; Datejust; DeskJet; Disklavier; Dreamcast; EOS 5D; Echo Dot; Emgrand; Ericofon; Falcon 9; Falcon
    Heavy; Fenix 7; Flying V guitar; Forerunner; Frappuccino; G502 mouse; Galaxy Note; Galaxy S23; Galaxy Tab; Game
    Boy; Game Gear; GameCube; Gel-Kayano; Gel-Nimbus; Global 7500; Gripen; Happy Meal; Hero12 Black; Hero9 Black;
    IdeaPad; Indica; Inspiron; Instamatic; Jazzmaster; Jet Ski; Juno-106; Kaoss Pad; Karma drone; Kelly bag; Kindle;
    Kinetic watch; Kirin 9000; Kizilelma; Klippan sofa; LaserJet; Les Paul guitar; Lumia 920; MS-20 synthesizer;
    MSP430; MX Master; MacBook; Mate 60; Mavic Pro; McFlurry; Mi Band; MiniMed 780G; N-Gage; Ninja ZX-10R;
    OfficeJet; PAS 5500; Phantom 4 drone; Pixel 8; PlayBook; PlayStation; Poang chair; Pumpkin Spice Latte; Ronin
    gimbal; Roomba; SH-101; Scooba; Speak & Spell; Squeezebox; Stan Smith shoe; Stratocaster; Submariner; TGV; TI-84
    Plus; TR-808; Tamagotchi; Telecaster; ThinkCentre; ThinkPad; Toughbook; Ultraboost; V15 Detect; Vespa; Viggen;
    Vivosmart; Vulcan 900; Walkman; Wii; X100V; XPS 13; Xbox; Zaurus; iPad; iPhone
    """
)
_MAKERS_OF_VEHICLES = listed(  # the Corolla, the 747, the Abrams tank
    """
    Airbus; Alfa Romeo; Aston Martin; Audi; AvtoVAZ; BMW; Bajaj; Bentley; Boeing; Bugatti; Dacia; Dassault; Ducati;
    Embraer; Ferrari; Fiat; Ford; General Dynamics; General Motors; Harley-Davidson; Hero MotoCorp; Honda; Hyundai;
    Iran Khodro; Jaguar; KTM; Kia; Koenigsegg; Lamborghini; Lancia; Lockheed Martin; Lotus; Mahindra; Maserati;
    Mazda; McLaren; Mercedes-Benz; Mitsubishi; NIO; Nissan; Northrop Grumman; Opel; Pagani; Porsche; Renault;
    Rolls-Royce; Skoda; Subaru; Suzuki; Tesla; Toyota; Triumph; VinFast; Volkswagen; Volvo
    """
)
# Brands, shops and services, of which one asks who owns them: nobody makes KFC.
OWNED = listed(
    """
    AEG; Agoda; AliExpress; Alienware; Amana; Aprilia; Aral; Arket; Beko; Bershka; Betty Crocker; Blomberg; Bottega
    Veneta; Braintree; Breguet; Burt's Bees; Car Shoe; Cartier; Casarte; Castrol; Cheap Monday; Chowking; Church's;
    Clinique; DeWalt; Dior; Douyin; Dremel; ESPN; Epiphone; Facebook; Fisher & Paykel; Fisher-Price; Friboi;
    Frigidaire; GE Appliances; Garnier; Ghirardelli; Grundig; Gucci; Hennessy; Hinge dating app; Iittala; Instagram;
    JanSport; Jim Beam; KFC; KitchenAid; La Mer; Lancome; Learjet; Loctite; Longines; Louis Vuitton; Lucasfilm; Lynk
    & Co; MAC Cosmetics; Mailchimp; Mang Inasal; Massimo Dutti; Maybelline; Maytag; Meraki; Miu Miu; Mohito fashion
    brand; Molton Brown; Monki; Montblanc; Moto Guzzi; MuleSoft; NARS; NetSuite; Oakley; OkCupid; OpenTable; Orbitz;
    Oscar Mayer; Pepperidge Farm; Persol; Piaget; Pilgrim's Pride; Pixar; Pizza Hut; Priceline; Ray-Ban; Reserved
    clothing; Royal Copenhagen; Rubbermaid; Saint Laurent; Schwarzkopf; Seara; Sinsay; Slack; Tableau; Taco Bell;
    Taobao; Teavana; Tetley; The North Face; TikTok; Timberland; Tinder; Tissot; Tmall; Travelocity; Tuborg; Tumblr;
    Venmo; Vrbo; Wedgwood; WhatsApp; Wild Bean Cafe; Xoom; Yankee Candle; Zanussi; Zara; iQIYI
    """
)
# A place takes the article if it begins with one of the first and goes on with "of" or "in" (the Tower of London), or
# ends in one of the second (the London Eye); the two lists after them are what that gets wrong.
_BEGINNINGS = listed(
    """
    Acropolis; Arch; Avenue; Basilica; Bay; Belfry; Black; Blue; Bridge; Buddhas; Casbah; Cedars; Church; Citadel;
    Cliffs; Cotton; Domes; Door; Fort; Fortress; Friday; Garden; Gate; Gateway; Gold; Golden; Grand; Great; Hill;
    House; Hypogeum; Kremlin; Lakes; Leaning; Mausoleum; Minaret; Moai; Mosque; Motherland; Museum; National;
    Neutrality; Obelisk; Palace; Palais; Plain; Pyramid; Pyramids; Red; Rock; Rock-Hewn; Rova; Royal; Ruins; Salt;
    Sea; Shrine; Statue; Stone; Temple; Tomb; Tombs; Tower; Tree; Umayyad; Valley; Walls
    """
)
_ENDS = listed(
    """
    Amphitheatre; Archipelago; Army; Atoll; Bastion; Bridge; Building; Casino; Cathedral; Causeway; Cave Temple;
    Caves; Center; Centre; Chapel; Clock; Convention Centre; Cosmodrome; Crater; Cross; Dam; Delta; Desert;
    Escarpment; Eye; Fort; Fountain; Gardens; Gate; Glacier; Grotto; Hills; Hole; Hotel; House; Islands; Lagoon;
    Lines; Locks; Memorial; Mine; Monastery; Monument; Mosque; Museum; Oasis; Opera House; Pagoda; Palace; Pantheon;
    Plateau; Reef; Rocks; Ruins; Sanctuary; Square; Stadium; Statue; Storehouse; Structure; Terraces; Theatre;
    Tower; Towers; Track; Wall; building; crater; monasteries; ruins; statue; tunnels; windmills
    """
)
_PLACES_WITH_THE = listed(
    """
    Alhambra; Arc de Triomphe; Atomium; Badrulchau Monoliths; Bay of Kotor; Belvedere Palace; Betio battle site;
    Blue Nile Falls; Bock Casemates; Boiling Lake; Bouar Megaliths; Burj Al Arab; Burj Khalifa; Cape of Good Hope;
    Casa Rosada; Citadelle Laferriere; Colosseum; Day Forest; Eiger; Fiat Tagliero Building; Fish River Canyon;
    Flaming Cliffs; Forbidden City; Galle Fort; Gediminas Tower; Golden Temple; Grand-Place; Great Sphinx;
    Guggenheim Museum Bilbao; Hill of Crosses; Ho Chi Minh Mausoleum; John Garang Mausoleum; Kaaba; Kennedy Bridge
    in Niamey; Kwame Nkrumah Mausoleum; Lahore Fort; Louvre; Majorelle Garden; Matobo Hills; Merlion; Monte Carlo
    Casino; Obelisco de Buenos Aires; Okavango Delta; Oklo natural reactor; Palace of Versailles; Palace of the
    Parliament; Palm Jumeirah; Pantheon; Parthenon; Petronas Towers; Pitch Lake; Plain of Jars; Prague Astronomical
    Clock; Qutub Minar; Raphael Rooms; Registan; Rijksmuseum; Robert Louis Stevenson Museum at Vailima; Rock of
    Cashel; Rose Hall; Sagrada Familia; Salar de Uyuni; Sea of Galilee; Sudd; Taj Mahal; Teatro Colon; Temple of
    Heaven; Tonle Sap; Topkapi Palace; Tsodilo Hills; Tundavala Gap; Ureka waterfalls; White House
    """
)
_PLACES_WITHOUT = listed(
    """
    Al Zubarah Fort; Aldabra Atoll; Amalienborg; Ananda Temple; Angkor Wat; Arad Fort; Aso Rock; Bab Al Manama;
    Bahla Fort; Bangui Cathedral; Beiteddine Palace; Ben Gurion Airport; Bikini Atoll; Bissau Cathedral; Blarney
    Castle; Blue Mountain Peak; Bran Castle; Buckingham Palace; Buda Castle; Bunce Island; Capriana Monastery;
    Castillo San Felipe de Barajas; Changi Airport; Chillon Castle; Cologne Cathedral; Dean's Blue Hole; Devon
    House; Diocletian's Palace; Drottningholm Palace; Florence Cathedral; Fort Charlotte above Kingstown; Fort
    Charlotte in Nassau; Fort George above St. George's; Fort James at St. John's Harbour; Fort Jesus; Fort Sao
    Sebastiao on Ana Chaves Bay; Fort Zeelandia in Paramaribo; Ganvie stilt village; Garni Temple; Geghard
    Monastery; Gelati Monastery; Golestan Palace; Golubac Fortress; Gur-e-Amir; Hamad International Airport;
    Helsinki Cathedral; Himeji Castle; Jvari Monastery; Kadriorg Palace; Katse Dam; Kensington Oval; Kolossi Castle;
    Kronborg; Kwajalein Atoll; Kykkos Monastery; Lalbagh Fort; Lome Cathedral; Lungi International Airport; Luxor
    Temple; Malabo Cathedral; Malbork Castle; Mandalay Palace; Maya-Maya Airport; Melk Abbey; Mohale Dam;
    Monserrate; Monte Titano; Naqsh-e Jahan Square; Nelson's Dockyard; Nizwa Fort; Notre-Dame de Paris; Olumo Rock;
    Ostrog Monastery; Parliament Hill; Paro Taktsang; Pashupatinath Temple; Peles Castle; Pena Palace; Petra;
    Postojna Cave; Prague Castle; Queen's Park Savannah; Red Square; Riga Cathedral; Rila Monastery; Rosenborg
    Castle; Rundale Palace; Schonbrunn Palace; Seif Palace; Seven Coloured Earths; Sibebe Rock; Skanderbeg Square;
    Sokehs Rock; Soroca Fort; Stabroek Market; Stockholm Palace; Stone Town; Svetitskhoveli Cathedral; Tashichho
    Dzong; Tatev Monastery; Temple of Bacchus; Trakai Island Castle; Vaduz Cathedral; Vilnius Cathedral; Wawel
    Castle; Zagreb Cathedral; Zuma Rock
    """
)
_NO_ARTICLE = re.compile(
    r"(Mount|Lake|Mont|Monte|Pico|Fort|St\.|Saint|Lac|Casa|Castillo|Palacio|Palazzo|Al|El|Volcan) "
)
_PLURAL = re.compile(
    r"\b(Towers|Islands|Lines|Terraces|Hills|Locks|Rocks|Pyramids|Cliffs|Churches|Caves|[Tt]unnels|[Rr]uins|Walls|Gardens|"
    r"Buddhas|[Ll]akes|Tombs|Palaces|Casemates|windmills|monasteries|Megaliths|Monoliths|waterfalls|Peaks|Murals|"
    r"Goldbears|Huggies|Doritos|Lucky Charms|Cup Noodles|Domes|Earths|Highlands|Rooms|Align leggings)$"
    r"|^(Cliffs|Pyramids|Walls|Moai|Rock-Hewn Churches|Tombs|Ruins|Lakes|Domes|Buddhas|Royal Palaces) "
)
_COMPANY_FORMS = ("Inc.", "Corporation", "Corp.", "Company", "Co.", "Group", "Ltd.", "Motor Company")
_NO_PLURAL = ("s", "yen", "won", "baht", "rand", "yuan", "renminbi")


def with_article(relation: str, subject: str, bridge: str) -> str:
    """The subject as it stands inside a sentence: "the Eiffel Tower", "Mount Fuji", "The Great Gatsby"."""
    return f"the {subject}" if not subject.startswith("The ") and _takes_article(relation, subject, bridge) else subject


def _takes_article(relation: str, subject: str, bridge: str) -> bool:
    if relation == "landmark_country":
        if subject in _PLACES_WITH_THE or subject in _PLACES_WITHOUT:
            return subject in _PLACES_WITH_THE
        if _NO_ARTICLE.match(subject) and not subject.endswith(("Mosque", "Tower", "Museum", "Causeway")):
            return False
        beginning, _, rest = subject.partition(" ")
        return (beginning in _BEGINNINGS and bool(re.search(r"\b(of|in) ", rest))) or any(
            subject == end or subject.endswith(f" {end}") for end in _ENDS
        )
    if relation == "product_company":
        return subject in _PRODUCTS_WITH_THE or bridge in _MAKERS_OF_VEHICLES
    return relation == "painting_artist" and subject in _PAINTINGS_WITH_THE


def is_plural(subject: str) -> bool:
    """Whether the subject takes "are"."""
    return bool(_PLURAL.search(subject))


def country_with_article(name: str) -> str:
    """A country as it stands inside a sentence: "the United States", "France"."""
    return f"the {name}" if name in _COUNTRIES_WITH_THE else name


@cache
def rows_of(of: str) -> dict[str, tuple[str, ...]]:
    """The rows of `real_aliases.tsv` that are of a kind of entity, of a relation's subjects, or of a list."""
    lines = (resources.files("eval") / "real_aliases.tsv").read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    return {name: tuple(others.split("|")) for kind, name, others in rows if kind == of}


def aliases(kind: str, name: str, known: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Every other accepted name of an entity, those that its table has first.

    People: initials without spaces, without a middle initial, and the last name alone for those whom everybody calls by
    it. Companies: with Inc., Group and the like. Money: the plural.
    """
    found = [*known, *rows_of(kind).get(name, ())]
    if kind == "person":
        found += [re.sub(r"\. (?=\w\.)", ".", name), re.sub(r" \w\.(?= )", "", name)]
        found += rows_of("last_name").get(name, ())
    if kind == "company":
        found += [f"{name} {form}" for form in _COMPANY_FORMS]
    if kind == "currency":
        found += [f"{money}s" for money in (name, *known) if not money.endswith(_NO_PLURAL)]
    if kind == "calling_code":
        found.append(name.removeprefix("+"))
    if kind == "domain":
        found.append(name.removeprefix("."))
    return tuple(alias for alias in dict.fromkeys(found) if alias != name)
