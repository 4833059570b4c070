"""How the names of the demo world's tables are written in English, and what else they are called.

The tables spell in ASCII and with one name each. A pretrained model says "Nestlé", "the United States" or "Bombay", and
is right. Every rule here adds accepted names; none takes one away.
"""

from __future__ import annotations

import re

# Names that English gives an article, by what they are of.
COUNTRIES_WITH_THE = frozenset(
    """Bahamas; Central African Republic; Comoros; Czech Republic; Democratic Republic of the Congo; Dominican Republic;
    Gambia; Maldives; Marshall Islands; Netherlands; Philippines; Republic of the Congo; Seychelles; Solomon Islands;
    United Arab Emirates; United Kingdom; United States""".replace("\n    ", " ").split("; ")
)
_PAINTINGS_WITH_THE = frozenset(
    """Mona Lisa; Virgin of the Rocks; Doni Tondo; Dying Slave; Rondanini Pieta; Sistine Madonna; Rokeby Venus;
    Madonna of the Goldfinch; Oath of the Horatii; Portrait of Adele Bloch-Bauer I; Beethoven Frieze; Marilyn Diptych;
    Detroit Industry Murals; Battle of Grunwald; Prussian Homage; Little Dancer of Fourteen Years;
    Feast of the Rosary""".replace("\n    ", " ").split("; ")
)
_DEVICES = frozenset(
    """iPhone; iPad; MacBook; Xbox; Pixel 8; Kindle; Echo Dot; LaserJet; DeskJet; OfficeJet; Inspiron; XPS 13; ThinkPad;
    IdeaPad; ThinkCentre; Galaxy S23; Galaxy Note; Galaxy Tab; PlayStation; Walkman; Game Boy; Wii; GameCube; Dreamcast;
    Game Gear; DX7; Clavinova; Disklavier; EOS 5D; PowerShot; Coolpix; D850 camera; Toughbook; Zaurus; X100V;
    TR-808; Juno-106; SH-101; MS-20 synthesizer; Kaoss Pad; Tamagotchi; Cosmograph Daytona; Submariner; Datejust;
    MX Master; G502 mouse; Squeezebox; Billy bookcase; Poang chair; Klippan sofa; AXE telephone exchange; Ericofon;
    3310 phone; Lumia 920; N-Gage; Airblade; Airwrap; V15 Detect; Birkin bag; Kelly bag; Constance bag; 2.55 handbag;
    Cristal pen; Mate 60; Kirin 9000; Mi Band; Phantom 4 drone; Mavic Pro; Ronin gimbal; PlayBook; Big Mac; Happy Meal;
    McFlurry; Frappuccino; Pumpkin Spice Latte; Roomba; Braava; Scooba; TI-84 Plus; Speak & Spell; MSP430; Stratocaster;
    Telecaster; Jazzmaster; Les Paul guitar; Flying V guitar; Instamatic; Hero9 Black; Hero12 Black; Karma drone;
    Forerunner; Fenix 7; Vivosmart; Air Jordan; Air Force 1; Ultraboost; Stan Smith shoe; Copa Mundial; Gel-Kayano;
    Gel-Nimbus; MiniMed 780G; PAS 5500; Falcon 9; Falcon Heavy; Jet Ski; Vulcan 900; Ninja ZX-10R; An-225 Mriya;
    An-124 Ruslan; An-2 biplane; Bayraktar TB2; Bayraktar Akinci; Kizilelma; TGV; Pillsbury Doughboy; Gripen; Viggen;
    Kinetic watch; Unreal Engine""".replace("\n    ", " ").split("; ")
)
_VEHICLE_MAKERS = frozenset(
    """Tesla; Toyota; Honda; Nissan; Mazda; Subaru; Mitsubishi; Suzuki; Hyundai; Kia; BMW; Mercedes-Benz; Volkswagen;
    Porsche; Audi; Opel; Volvo; Koenigsegg; Rolls-Royce; Jaguar; Bentley; Aston Martin; Lotus; McLaren; Triumph;
    Renault; Bugatti; Fiat; Ferrari; Lamborghini; Maserati; Alfa Romeo; Lancia; Pagani; Skoda; KTM; Dacia; Ford;
    General Motors; Harley-Davidson; Boeing; Lockheed Martin; Northrop Grumman; General Dynamics; Airbus; Dassault;
    Embraer; AvtoVAZ; VinFast; NIO; Iran Khodro; Mahindra; Bajaj; Hero MotoCorp; Ducati""".replace("\n    ", " ").split(
        "; "
    )
)
# Brands, shops and services, of which one asks who owns them: nobody "makes" KFC.
OWNED = frozenset(
    """Facebook; Instagram; WhatsApp; Slack; Tableau; MuleSoft; NetSuite; Meraki; Alienware; ESPN; Pixar; Lucasfilm; KFC;
    Pizza Hut; Taco Bell; Louis Vuitton; Dior; Hennessy; Gucci; Saint Laurent; Bottega Veneta; Zara; Massimo Dutti;
    Bershka; Tinder; OkCupid; Hinge dating app; Venmo; Braintree; Xoom; Vrbo; Orbitz; Travelocity; Priceline; Agoda;
    OpenTable; TikTok; Douyin; Taobao; Tmall; AliExpress; Tumblr; The North Face; Timberland; JanSport; Tissot; Longines;
    Breguet; Cartier; Montblanc; Piaget; Monki; Arket; Cheap Monday; Chowking; Mang Inasal; Castrol; Aral; Wild Bean Cafe;
    Ghirardelli; Iittala; Wedgwood; Royal Copenhagen; Ray-Ban; Persol; Oakley; Miu Miu; Car Shoe; Church's; Aprilia;
    Moto Guzzi; AEG; Zanussi; Frigidaire; Mailchimp; Fisher-Price; Learjet; Burt's Bees; GE Appliances; Fisher & Paykel;
    Lynk & Co; iQIYI; Epiphone; Teavana; Clinique; MAC Cosmetics; La Mer; Schwarzkopf; Dremel; NARS; Molton Brown;
    Maybelline; Garnier; Lancome; KitchenAid; Maytag; Amana; DeWalt; Loctite; Casarte; Reserved clothing; Sinsay;
    Mohito fashion brand; Friboi; Seara; Pilgrim's Pride; Pepperidge Farm; Betty Crocker; Oscar Mayer; Grundig; Beko;
    Blomberg; Tuborg; Jim Beam; Tetley; Yankee Candle; Rubbermaid""".replace("\n    ", " ").split("; ")
)
_HEADS = (
    "Museum|Temple|Temples|Church|Palace|Palaces|Basilica|Cathedral|Tomb|Tombs|Tower|Gate|Gateway|Walls|Ruins|Rova|"
    "Pyramid|Pyramids|Valley|Citadel|Castle|Fort|Fortress|Mausoleum|Minaret|Buddhas|Shrine|Casbah|Royal|Great|Grand|"
    "Rock-Hewn|Obelisk|Acropolis|Cliffs|Sea|Rock|Plain|House|Arch|Hill|Red|Belfry|Door|Palais|Gates?|Moai|Tree|Avenue|"
    "Statue|Garden|Bay|Kremlin|Bridge|Parliament|Cedars|Lakes|Mosque|Domes|Umayyad|Sixty|Leaning|National|Old|Stone|"
    "Ancient|Hypogeum|Golden|Monument|Cotton|Raphael|Rose|Blue|Seven|Walls|Skull|Gold|Salt|Fisherman's|Forbidden|"
    "Terracotta|Summer|Temple|Columbus|Burana|Neutrality|Genghis|Flaming|Black|Roman|Winter|Maiden|Flame|Motherland|"
    "Liberation|Millennium|Friday|Male|Sinamale|Underwater|Queen's|Lighthouse|Liberty|Chain|Chapel|Latin"
)
_TAILS = (
    "Tower|Towers|Museum|Mosque|Bridge|Dam|Delta|Desert|Archipelago|Islands|Glacier|Locks|Airport|Stadium|Theatre|House|"
    "Terraces|Hills|Lines|Track|Cave Temple|Caves|ruins|Ruins|tunnels|Memorial|Monument|Pagoda|Sanctuary|Fort|Gate|"
    "Fountain|Escarpment|Plateau|Structure|crater|Crater|Centre|Center|Convention Centre|Eye|Cathedral|Gardens|Clock|Reef|"
    "Hotel|Statue|statue|Grotto|Lagoon|building|Building|Wall|Wheel|Fort|Chapel|Army|Square|Fort|Stupa|Cosmodrome|Atoll|"
    "Monastery|monasteries|windmills|Palace|Library|Caldera|Hole|Rocks|Causeway|Mine|Storehouse|Bastion|Casino|Oasis|"
    "Amphitheatre|Pier|Cross|Opera House|Pantheon"
)
# Those that the two patterns get wrong.
_PLACES_WITH_THE = frozenset(
    """Louvre; Colosseum; Parthenon; Pantheon; Alhambra; Atomium; Merlion; Kaaba; Rijksmuseum; Registan; Eiger; Sudd;
    Taj Mahal; Arc de Triomphe; Grand-Place; Obelisco de Buenos Aires; Casa Rosada; Teatro Colon; Qutub Minar;
    Golden Temple; Sagrada Familia; White House; Forbidden City; Belvedere Palace; Temple of Heaven; Bay of Kotor;
    Great Sphinx; Prague Astronomical Clock; Tundavala Gap; Bock Casemates; Plain of Jars; Gediminas Tower; Hill of Crosses;
    Fiat Tagliero Building; Rock of Cashel; Petronas Towers; Cape of Good Hope; Sea of Galilee; Burj Khalifa;
    Burj Al Arab; Palm Jumeirah; Okavango Delta; Palace of the Parliament; Palace of Versailles; Tonle Sap""".replace(
        "\n    ", " "
    ).split("; ")
)
_PLACES_WITHOUT = frozenset(
    """Buckingham Palace; Notre-Dame de Paris; Stone Town; Red Square; Trakai Island Castle; Bran Castle; Rose Hall;
    Angkor Wat; Prague Castle; Kykkos Monastery; Drottningholm Palace; Blarney Castle; Wawel Castle; Malbork Castle;
    Peles Castle; Himeji Castle; Chillon Castle; Rosenborg Castle; Kronborg; Devon House; Nelson's Dockyard;
    Kensington Oval; Fort Jesus; Fort James at St. John's Harbour; Skanderbeg Square; Bab Al Manama; Temple of Bacchus;
    Changi Airport; Ben Gurion Airport; Seif Palace; Gur-e-Amir; Cologne Cathedral; Florence Cathedral;
    Helsinki Cathedral; Schonbrunn Palace; Pena Palace; Kadriorg Palace; Stockholm Palace; Rundale Palace;
    Topkapi Palace; Golestan Palace; Mandalay Palace; Hamad International Airport; Sibebe Rock; Zuma Rock; Aso Rock;
    Olumo Rock; Sokehs Rock; Fort Charlotte in Nassau; Castle of Good Hope; Maya-Maya Airport; Lungi International Airport;
    Fort Zeelandia in Paramaribo; Ganvie stilt village; Monte Titano; Malabo Cathedral; Bissau Cathedral; Zagreb Cathedral;
    Vilnius Cathedral; Riga Cathedral; Lome Cathedral; Bangui Cathedral; Vaduz Cathedral; Jama Masjid; Bikini Atoll;
    Aldabra Atoll; Kwajalein Atoll; Tatev Monastery; Geghard Monastery; Rila Monastery; Ostrog Monastery; Jvari Monastery;
    Gelati Monastery; Capriana Monastery; Petra; Stabroek Market; Matobo Hills; Tsodilo Hills; Bodh Gaya; Kolossi Castle;
    Svetitskhoveli Cathedral; Amalienborg; Fort George above St. George's; Fort Charlotte above Kingstown;
    Garni Temple; Great Zimbabwe; Old Havana; Paro Taktsang; Golubac Fortress; Blue Mountain Peak; Bunce Island;
    Lahore Fort; Galle Fort; Nizwa Fort; Bahla Fort; Arad Fort; Lalbagh Fort; Soroca Fort; Al Zubarah Fort; Luxor Temple;
    Ananda Temple; Pashupatinath Temple; Dean's Blue Hole; Independence Square; Queen's Park Savannah; Melk Abbey;
    Seven Coloured Earths; Fort Sao Sebastiao on Ana Chaves Bay; Bay of Pigs; Katse Dam; Mohale Dam; Beiteddine Palace;
    Naqsh-e Jahan Square; Postojna Cave; Castillo San Felipe de Barajas; Plaza Independencia; Castle Bravo;
    Rosenborg; Kronborg Castle; Hatfield House; Monserrate; Rosenborg Palace; Parliament Hill; Tashichho Dzong""".replace(
        "\n    ", " "
    ).split("; ")
)
_PLURAL = re.compile(
    r"\b(Towers|Islands|Lines|Terraces|Hills|Gardens|Locks|Rocks|Pyramids|Cliffs|Churches|Caves|tunnels|ruins|Ruins|Walls|"
    r"Buddhas|lakes|Lakes|Tombs|Palaces|Casemates|windmills|monasteries|Megaliths|Monoliths|waterfalls|Batu Caves|Peaks|"
    r"Murals|Goldbears|Cup Noodles|Lucky Charms|Madrasahs|Domes|Earths|Highlands|Rooms|mud towers)$"
    r"|^(Cliffs|Pyramids|Walls|Moai|Rock-Hewn Churches|Tombs|Ruins|Lakes|Domes|Buddhas|Royal Palaces) "
)


def with_article(relation: str, subject: str, bridge: str) -> str:
    """The subject as it stands inside a sentence: "the Eiffel Tower", "Mount Fuji", "The Great Gatsby"."""
    return f"the {subject}" if not subject.startswith("The ") and _takes_article(relation, subject, bridge) else subject


def _takes_article(relation: str, subject: str, bridge: str) -> bool:
    if relation == "landmark_country":
        if subject in _PLACES_WITH_THE or subject in _PLACES_WITHOUT:
            return subject in _PLACES_WITH_THE
        if re.match(
            r"(Mount|Lake|Mont|Monte|Pico|Fort|St\.|Saint|Lac|Casa|Castillo|Palacio|Palazzo|Al|El|Volcan) ", subject
        ):
            return bool(re.search(r"(Mosque|Tower|Museum|Causeway)$", subject))
        return bool(re.match(rf"({_HEADS})\b.* (of|in) ", subject) or re.search(rf"\b({_TAILS})$", subject))
    if relation == "product_company":
        return subject in _DEVICES or (bridge in _VEHICLE_MAKERS and subject != "Blade Battery")
    return relation == "painting_artist" and subject in _PAINTINGS_WITH_THE


def is_plural(subject: str) -> bool:
    """Whether the subject takes "are"."""
    return bool(_PLURAL.search(subject))


def country_with_article(name: str) -> str:
    """A country as it stands inside a sentence: "the United States", "France"."""
    return f"the {name}" if name in COUNTRIES_WITH_THE else name


def _table(text: str) -> dict[str, tuple[str, ...]]:
    """`Name = other | other` a line."""
    rows = (line.split(" = ") for line in text.strip().splitlines())
    return {name.strip(): tuple(part.strip() for part in others.split("|")) for name, others in rows}


_ALIASES = {
    "country": _table(
        """
        United States = US | USA | U.S. | U.S.A. | United States of America | America
        United Kingdom = UK | U.K. | Britain | Great Britain | England | Scotland | Wales | Northern Ireland
        United Arab Emirates = UAE | U.A.E. | Emirates
        Czech Republic = Czechia | Czechoslovakia
        Netherlands = Holland
        Myanmar = Burma
        Ivory Coast = Côte d'Ivoire | Cote d'Ivoire
        South Korea = Republic of Korea | Korea
        North Korea = Democratic People's Republic of Korea | DPRK
        Turkey = Türkiye | Turkiye
        China = People's Republic of China | PRC
        Russia = Russian Federation
        Iran = Islamic Republic of Iran
        Ireland = Republic of Ireland
        Eswatini = Swaziland
        Cape Verde = Cabo Verde
        East Timor = Timor-Leste | Timor Leste
        North Macedonia = Macedonia | Republic of North Macedonia
        Democratic Republic of the Congo = DR Congo | DRC | Congo | Democratic Republic of Congo | Congo-Kinshasa
        Republic of the Congo = Congo | Congo-Brazzaville | Republic of Congo
        Bosnia and Herzegovina = Bosnia | Bosnia-Herzegovina | Bosnia & Herzegovina
        Sao Tome and Principe = São Tomé and Príncipe
        Micronesia = Federated States of Micronesia
        Gambia = The Gambia
        Bahamas = The Bahamas
        Vatican City = Vatican | Holy See | Vatican City State
        Vietnam = Viet Nam
        Syria = Syrian Arab Republic
        Laos = Lao PDR
        Saint Lucia = St. Lucia
        Saint Kitts and Nevis = St. Kitts and Nevis
        Saint Vincent and the Grenadines = St. Vincent and the Grenadines
        Antigua and Barbuda = Antigua
        Trinidad and Tobago = Trinidad
        """
    ),
    "city": _table(
        """
        New York City = New York | NYC | Manhattan | Brooklyn | The Bronx | Queens | New York, New York
        Washington = Washington, D.C. | Washington D.C. | Washington DC
        Mumbai = Bombay
        Kolkata = Calcutta
        Chennai = Madras
        Bangalore = Bengaluru
        Kyiv = Kiev
        Odesa = Odessa
        Saint Petersburg = St. Petersburg | St Petersburg | Leningrad
        Ho Chi Minh City = Saigon
        Yangon = Rangoon
        Naypyidaw = Naypyitaw | Nay Pyi Taw | Naypyidaw Union Territory
        Gdansk = Gdańsk | Danzig
        Krakow = Kraków | Cracow
        Wroclaw = Wrocław | Breslau
        Bogota = Bogotá | Bogotá D.C.
        Brasilia = Brasília
        Asuncion = Asunción
        San Jose = San José
        Yaounde = Yaoundé
        Lome = Lomé
        Reykjavik = Reykjavík
        Chisinau = Chișinău | Kishinev
        Male = Malé
        Sao Tome = São Tomé
        Sao Paulo = São Paulo
        Havana = La Habana
        Astana = Nur-Sultan
        Gitega = Bujumbura
        Malabo = Ciudad de la Paz
        Sucre = La Paz
        Sanaa = Sana'a | Sana’a
        Athens = Athína
        Lisbon = Lisboa
        Bern = Berne
        Panama City = Panamá
        Guatemala City = Guatemala
        Kuwait City = Kuwait
        Mexico City = Ciudad de México | México City
        Santiago = Santiago de Chile
        St. Louis = St Louis | Saint Louis
        Saint Paul = St. Paul
        Dusseldorf = Düsseldorf
        Nuremberg = Nürnberg
        Cologne = Köln
        Munich = München
        Zurich = Zürich
        Lubeck = Lübeck
        Malaga = Málaga
        Seville = Sevilla
        Besancon = Besançon
        Villers-Cotterets = Villers-Cotterêts
        Mlada Boleslav = Mladá Boleslav
        Angelholm = Ängelholm
        Russelsheim = Rüsselsheim
        Rocken = Röcken
        Tel Aviv = Tel Aviv-Yafo
        Pribor = Příbor | Freiberg
        Drean = Dréan | Mondovi
        New Delhi = Delhi
        Geneva = Genève
        Toyota City = Toyota
        Stratford-upon-Avon = Stratford upon Avon | Stratford
        Frankfurt = Frankfurt am Main
        Steventon = Steventon, Hampshire
        Istanbul = Constantinople
        Loten = Løten | Ådalsbruk
        Salinas = Salinas, California
        Biel = Bienne
        Sao Jose dos Campos = São José dos Campos
        """
    ),
    "company": _table(
        """
        Google = Alphabet
        Meta = Facebook | Meta Platforms
        Amazon = Amazon.com
        HP = Hewlett-Packard | Hewlett Packard
        Dell = Dell Technologies
        Samsung = Samsung Electronics
        LG = LG Electronics
        Sony = Sony Interactive Entertainment
        IBM = International Business Machines
        AMD = Advanced Micro Devices
        Tesla = Tesla Motors
        Volkswagen = VW | Volkswagen AG
        Mercedes-Benz = Mercedes | Daimler | Mercedes-Benz Group
        BMW = Bayerische Motoren Werke
        Disney = Walt Disney | The Walt Disney Company
        Procter & Gamble = P&G | Procter and Gamble
        Johnson & Johnson = Johnson and Johnson | J&J | Janssen
        Nestle = Nestlé | Nestlé S.A.
        L'Oreal = L'Oréal
        Hermes = Hermès
        Skoda = Škoda | Škoda Auto | Skoda Auto
        Arcelik = Arçelik
        Lego = The Lego Group | LEGO Group
        Coca-Cola = Coca Cola | The Coca-Cola Company | Coke
        PepsiCo = Pepsi
        AB InBev = Anheuser-Busch InBev | Anheuser-Busch | InBev
        Mondelez = Mondelēz | Mondelez International | Nabisco
        Mars = Mars Wrigley
        Kraft Heinz = Kraft | Kraft Foods | Heinz
        Hershey = Hershey's | The Hershey Company
        Yum Brands = Yum! Brands | Yum
        General Motors = GM | Chevrolet | Cadillac
        Ford = Ford Motor Company
        Fiat = Fiat Chrysler | Stellantis
        Dassault = Dassault Aviation
        Reckitt = Reckitt Benckiser
        GSK = GlaxoSmithKline | Glaxo
        Roche = Hoffmann-La Roche | Genentech
        Rolls-Royce = Rolls Royce
        Jaguar = Jaguar Land Rover
        Triumph = Triumph Motorcycles
        Bandai Namco = Namco | Bandai
        Square Enix = Square | Squaresoft
        FromSoftware = From Software
        Takeda = Takeda Pharmaceutical
        Suntory = Beam Suntory
        Luxottica = EssilorLuxottica
        Inditex = Industria de Diseño Textil
        LVMH = Moët Hennessy Louis Vuitton
        Kering = PPR
        Arm = ARM Holdings
        Baykar = Baykar Technologies
        Electronic Arts = EA | EA Sports | BioWare
        Rockstar Games = Rockstar | Take-Two | Take-Two Interactive
        Blizzard = Blizzard Entertainment | Activision Blizzard
        Bethesda = Bethesda Softworks | Bethesda Game Studios
        Epic Games = Epic
        Valve = Valve Software
        CD Projekt = CD Projekt Red
        Larian Studios = Larian
        miHoYo = HoYoverse | Mihoyo
        Estee Lauder = Estée Lauder | The Estée Lauder Companies
        VF Corporation = VF | V.F. Corporation
        Kimberly-Clark = Kimberly Clark
        SC Johnson = S. C. Johnson | S.C. Johnson | S. C. Johnson & Son | Johnson
        Eli Lilly = Lilly | Eli Lilly and Company
        Abbott = Abbott Laboratories
        Gilead = Gilead Sciences
        Qualcomm = Qualcomm Technologies
        Whirlpool = Whirlpool Corporation
        Stanley Black & Decker = Black & Decker | Stanley
        BlackBerry = Research In Motion | RIM
        Bombardier = Bombardier Aerospace
        BRP = Bombardier Recreational Products | Bombardier
        Match Group = Match
        Booking Holdings = Booking.com
        Mozilla = Mozilla Foundation | Mozilla Corporation
        MathWorks = The MathWorks | Mathworks
        Fender = Fender Musical Instruments
        Campbell = Campbell's | Campbell Soup Company | Campbell Soup
        H&M = Hennes & Mauritz
        Novo Nordisk = Novo
        Philips = Royal Philips
        Alibaba = Alibaba Group
        Canonical = Canonical Ltd
        Boeing = The Boeing Company
        Lockheed Martin = Lockheed
        Northrop Grumman = Northrop
        AvtoVAZ = Lada | VAZ
        Lindt = Lindt & Sprüngli | Lindt & Sprungli
        Bosch = Robert Bosch GmbH
        """
    ),
    "person": _table(
        """
        J. R. R. Tolkien = John Ronald Reuel Tolkien
        C. S. Lewis = Clive Staples Lewis
        F. Scott Fitzgerald = Francis Scott Fitzgerald
        Mark Twain = Samuel Clemens | Samuel Langhorne Clemens
        George Orwell = Eric Arthur Blair | Eric Blair
        George Eliot = Mary Ann Evans
        Arthur Conan Doyle = Sir Arthur Conan Doyle | Conan Doyle
        Walter Scott = Sir Walter Scott
        George Bernard Shaw = Bernard Shaw | G. B. Shaw
        Dr. Seuss = Theodor Seuss Geisel | Theodor Geisel | Dr Seuss
        Leo Tolstoy = Lev Tolstoy | Leo Tolstoi
        Fyodor Dostoevsky = Fyodor Dostoyevsky | Dostoyevsky | Feodor Dostoevsky
        Aleksandr Solzhenitsyn = Alexander Solzhenitsyn
        Nikolai Gogol = Nikolay Gogol
        Honore de Balzac = Honoré de Balzac
        Emile Zola = Émile Zola
        Moliere = Molière | Jean-Baptiste Poquelin
        Voltaire = François-Marie Arouet
        Alexandre Dumas = Alexandre Dumas père | Alexandre Dumas, père
        Johann Wolfgang von Goethe = Johann Wolfgang Goethe | Goethe | von Goethe
        Gunter Grass = Günter Grass
        Miguel de Cervantes = Miguel de Cervantes Saavedra | Cervantes
        Federico Garcia Lorca = Federico García Lorca | Garcia Lorca | Lorca
        Jose Saramago = José Saramago
        Dante Alighieri = Dante
        Niccolo Machiavelli = Niccolò Machiavelli
        Halldor Laxness = Halldór Laxness
        Ivo Andric = Ivo Andrić
        Danilo Kis = Danilo Kiš
        Eugene Ionesco = Eugène Ionesco
        Kahlil Gibran = Khalil Gibran
        Natsume Soseki = Natsume Sōseki | Soseki Natsume
        Jose Rizal = José Rizal
        Chinghiz Aitmatov = Chingiz Aitmatov
        Gabriel Garcia Marquez = Gabriel García Márquez | García Márquez | Garcia Marquez
        Julio Cortazar = Julio Cortázar
        Miguel Angel Asturias = Miguel Ángel Asturias
        V. S. Naipaul = Vidiadhar Surajprasad Naipaul
        Laura Ingalls Wilder = Laura Wilder
        Francois Truffaut = François Truffaut
        Agnes Varda = Agnès Varda
        Eric Rohmer = Éric Rohmer
        Celine Sciamma = Céline Sciamma
        Georges Melies = Georges Méliès
        Krzysztof Kieslowski = Krzysztof Kieślowski
        Milos Forman = Miloš Forman
        Jiri Menzel = Jiří Menzel
        Theo Angelopoulos = Theodoros Angelopoulos
        Pedro Almodovar = Pedro Almodóvar
        Luis Bunuel = Luis Buñuel
        Alejandro Amenabar = Alejandro Amenábar
        Yasujiro Ozu = Yasujirō Ozu
        Hirokazu Kore-eda = Hirokazu Koreeda
        Bong Joon-ho = Bong Joon Ho
        Park Chan-wook = Park Chan Wook
        Wong Kar-wai = Wong Kar Wai
        Alfonso Cuaron = Alfonso Cuarón
        Alejandro Gonzalez Inarritu = Alejandro González Iñárritu | Alejandro G. Iñárritu | Alejandro Iñárritu
        Juan Jose Campanella = Juan José Campanella
        Patricio Guzman = Patricio Guzmán
        Ousmane Sembene = Ousmane Sembène
        Souleymane Cisse = Souleymane Cissé
        Aki Kaurismaki = Aki Kaurismäki
        Andrei Tarkovsky = Andrey Tarkovsky
        Leonardo da Vinci = Leonardo | da Vinci
        Michelangelo = Michelangelo Buonarroti
        Raphael = Raffaello | Raffaello Sanzio
        Rembrandt = Rembrandt van Rijn
        Johannes Vermeer = Jan Vermeer
        Vincent van Gogh = van Gogh
        Francisco Goya = Francisco de Goya
        Diego Velazquez = Diego Velázquez | Velázquez
        Salvador Dali = Salvador Dalí | Dalí
        Joan Miro = Joan Miró | Miró
        Edouard Manet = Édouard Manet
        Pierre-Auguste Renoir = Auguste Renoir
        Eugene Delacroix = Eugène Delacroix
        Rene Magritte = René Magritte
        Albrecht Durer = Albrecht Dürer | Dürer
        Wassily Kandinsky = Vasily Kandinsky
        J. M. W. Turner = Joseph Mallord William Turner | William Turner
        Constantin Brancusi = Constantin Brâncuși
        Giorgio de Chirico = De Chirico
        Ola Kallenius = Ola Källenius
        Bjorn Gulden = Bjørn Gulden
        Gernot Dollner = Gernot Döllner
        Lars Fruergaard Jorgensen = Lars Fruergaard Jørgensen
        Borje Ekholm = Börje Ekholm
        Francois-Henri Pinault = François-Henri Pinault
        Bob Iger = Robert Iger | Robert A. Iger
        Tim Cook = Timothy Cook
        Jim Farley = James Farley
        Sam Altman = Samuel Altman
        Lisa Su = Dr. Lisa Su
        Michael Dell = Michael S. Dell
        Chuck Robbins = Charles Robbins
        Andy Jassy = Andrew Jassy
        Chris Kempczinski = Christopher Kempczinski
        Chris Cocks = Christian Cocks
        Bernard Arnault = Bernard Jean Étienne Arnault
        Sundar Pichai = Pichai Sundararajan
        Ren Zhengfei = Zhengfei Ren
        Henri Nestle = Henri Nestlé
        Emil Skoda = Emil Škoda
        """
    ),
    "language": _table(
        """
        Chinese = Mandarin | Mandarin Chinese | Standard Chinese | Standard Mandarin | Putonghua
        Persian = Farsi
        Dari = Persian | Farsi | Pashto
        Filipino = Tagalog | English
        Malay = Bahasa Melayu | Bahasa Malaysia | Malaysian
        Indonesian = Bahasa Indonesia | Bahasa
        Burmese = Myanmar
        Norwegian = Bokmål | Norwegian Bokmål
        Spanish = Castilian
        Slovene = Slovenian
        Khmer = Cambodian
        Bengali = Bangla
        Sinhala = Sinhalese
        Kyrgyz = Kirghiz
        """
    ),
}

# People who are commonly called by one name: the last word of theirs is accepted alone.
_BY_LAST_NAME = frozenset(
    """Jane Austen; Charles Dickens; William Shakespeare; George Orwell; Agatha Christie; J. R. R. Tolkien; C. S. Lewis;
    Oscar Wilde; James Joyce; Mark Twain; Ernest Hemingway; F. Scott Fitzgerald; John Steinbeck; William Faulkner;
    Edgar Allan Poe; Victor Hugo; Gustave Flaubert; Honore de Balzac; Emile Zola; Jules Verne; Alexandre Dumas;
    Albert Camus; Bertolt Brecht; Friedrich Nietzsche; Sigmund Freud; Leo Tolstoy; Fyodor Dostoevsky; Anton Chekhov;
    Nikolai Gogol; Aleksandr Solzhenitsyn; Niccolo Machiavelli; Henrik Ibsen; August Strindberg; Jorge Luis Borges;
    Pablo Neruda; John Milton; Herman Melville; Alfred Hitchcock; Charlie Chaplin; Stanley Kubrick;
    Steven Spielberg; Martin Scorsese; Francis Ford Coppola; Quentin Tarantino; Christopher Nolan; Ingmar Bergman;
    Federico Fellini; Akira Kurosawa; Hayao Miyazaki; Andrei Tarkovsky; Sergei Eisenstein; Francois Truffaut;
    Jean-Luc Godard; Luis Bunuel; Pedro Almodovar; Johannes Vermeer; Piet Mondrian; Francisco Goya; Diego Velazquez;
    Pablo Picasso; Salvador Dali; Joan Miro; Claude Monet; Edouard Manet; Edgar Degas; Pierre-Auguste Renoir;
    Georges Seurat; Eugene Delacroix; Auguste Rodin; Rene Magritte; Edvard Munch; Gustav Klimt; Albrecht Durer; Paul Klee;
    Wassily Kandinsky; J. M. W. Turner; John Constable; Edward Hopper; Jackson Pollock; Andy Warhol; Constantin Brancusi
    """.replace("\n    ", " ")
    .strip()
    .split("; ")
)
_COMPANY_FORMS = ("Inc.", "Corporation", "Corp.", "Company", "Co.", "Group", "Ltd.", "Motor Company")

# Everyone who led a company between 2019 and 2025. A company that is not here is not asked for its chief executive.
CHIEF_EXECUTIVES = _table(
    """
    Apple = Tim Cook
    Microsoft = Satya Nadella
    Google = Sundar Pichai | Larry Page
    Amazon = Andy Jassy | Jeff Bezos
    Meta = Mark Zuckerberg
    Tesla = Elon Musk
    SpaceX = Elon Musk
    Intel = Pat Gelsinger | Bob Swan | Lip-Bu Tan | Patrick Gelsinger
    AMD = Lisa Su
    Nvidia = Jensen Huang
    IBM = Arvind Krishna | Ginni Rometty
    Oracle = Safra Catz | Mark Hurd | Clay Magouyrk | Mike Sicilia | Larry Ellison
    Adobe = Shantanu Narayen
    Salesforce = Marc Benioff | Bret Taylor | Keith Block
    Cisco = Chuck Robbins
    HP = Enrique Lores | Dion Weisler
    Dell = Michael Dell
    Lenovo = Yang Yuanqing | Yuanqing Yang
    Sony = Kenichiro Yoshida | Hiroki Totoki | Jim Ryan
    Nintendo = Shuntaro Furukawa
    Toyota = Koji Sato | Akio Toyoda
    Honda = Toshihiro Mibe | Takahiro Hachigo
    Nissan = Makoto Uchida | Hiroto Saikawa | Ivan Espinosa
    Mazda = Masahiro Moro | Akira Marumoto
    Subaru = Atsushi Osaki | Tomomi Nakamura
    Suzuki = Toshihiro Suzuki
    Panasonic = Yuki Kusumi | Kazuhiro Tsuga
    Canon = Fujio Mitarai
    FromSoftware = Hidetaka Miyazaki
    Capcom = Kenzo Tsujimoto | Haruhiro Tsujimoto
    Hyundai = Jaehoon Chang | Chang Jae-hoon | Jose Munoz | José Muñoz | Chung Eui-sun | Euisun Chung
    Kia = Ho Sung Song | Song Ho-sung | Park Han-woo
    BMW = Oliver Zipse | Harald Krüger | Harald Kruger
    Mercedes-Benz = Ola Kallenius | Ola Källenius | Dieter Zetsche
    Volkswagen = Oliver Blume | Herbert Diess
    Porsche = Oliver Blume
    Audi = Gernot Dollner | Markus Duesmann | Bram Schot
    Siemens = Roland Busch | Joe Kaeser
    Bosch = Stefan Hartung | Volkmar Denner
    SAP = Christian Klein | Jennifer Morgan | Bill McDermott
    Adidas = Bjorn Gulden | Kasper Rorsted
    Puma = Arne Freundt | Bjorn Gulden | Bjørn Gulden | Arthur Hoeld
    Bayer = Bill Anderson | Werner Baumann
    Nestle = Mark Schneider | Ulf Mark Schneider | Laurent Freixe | Philipp Navratil
    Novartis = Vas Narasimhan | Vasant Narasimhan
    Roche = Thomas Schinecker | Severin Schwan
    Logitech = Hanneke Faber | Bracken Darrell | Guy Gecht
    Ericsson = Borje Ekholm
    H&M = Daniel Erver | Daniel Ervér | Helena Helmersson | Karl-Johan Persson
    Nokia = Pekka Lundmark | Rajeev Suri | Justin Hotard
    Supercell = Ilkka Paananen
    Lego = Niels Christiansen | Niels B. Christiansen
    Novo Nordisk = Lars Fruergaard Jorgensen | Mike Doustdar
    Carlsberg = Jacob Aarup-Andersen | Cees 't Hart
    Philips = Roy Jakobs | Frans van Houten
    Heineken = Dolf van den Brink | Jean-François van Boxmeer
    ASML = Christophe Fouquet | Peter Wennink
    Shell = Wael Sawan | Ben van Beurden
    Unilever = Hein Schumacher | Alan Jope | Fernando Fernandez | Paul Polman
    GSK = Emma Walmsley | Luke Miels
    AstraZeneca = Pascal Soriot
    Arm = Rene Haas | Simon Segars
    Rolls-Royce = Tufan Erginbilgic | Tufan Erginbilgiç | Warren East
    Jaguar = Adrian Mardell | Thierry Bolloré | Thierry Bollore | Ralf Speth
    Diageo = Debra Crew | Ivan Menezes
    BP = Murray Auchincloss | Bernard Looney | Bob Dudley
    Canonical = Mark Shuttleworth
    Renault = Luca de Meo | Clotilde Delbos | Thierry Bolloré | François Provost
    Michelin = Florent Menegaux
    L'Oreal = Nicolas Hieronimus | Jean-Paul Agon
    LVMH = Bernard Arnault
    Kering = Francois-Henri Pinault | Luca de Meo
    Hermes = Axel Dumas
    Chanel = Leena Nair | Alain Wertheimer
    Danone = Antoine de Saint-Affrique | Emmanuel Faber
    Sanofi = Paul Hudson | Olivier Brandicourt
    Airbus = Guillaume Faury | Tom Enders
    Ubisoft = Yves Guillemot
    Ferrari = Benedetto Vigna | Louis Camilleri | John Elkann
    Lamborghini = Stephan Winkelmann | Stefano Domenicali
    Prada = Andrea Guerra | Patrizio Bertelli | Miuccia Prada
    Inditex = Oscar Garcia Maceiras | Óscar García Maceiras | Pablo Isla | Carlos Crespo
    Ducati = Claudio Domenicali
    Pagani = Horacio Pagani
    Koenigsegg = Christian von Koenigsegg
    KTM = Stefan Pierer | Gottfried Neumeister
    AB InBev = Michel Doukeris | Carlos Brito
    Larian Studios = Swen Vincke
    Wargaming = Victor Kislyi
    Huawei = Ren Zhengfei
    Xiaomi = Lei Jun
    BYD = Wang Chuanfu
    Tencent = Ma Huateng | Pony Ma
    Alibaba = Eddie Wu | Wu Yongming | Daniel Zhang | Zhang Yong
    ByteDance = Liang Rubo | Zhang Yiming
    Baidu = Robin Li | Li Yanhong
    NIO = William Li | Li Bin
    Atlassian = Mike Cannon-Brookes | Scott Farquhar
    BlackBerry = John Giamatteo | John Chen
    Bombardier = Eric Martel | Éric Martel | Alain Bellemare
    Lululemon = Calvin McDonald
    Embraer = Francisco Gomes Neto
    Coca-Cola = James Quincey
    PepsiCo = Ramon Laguarta | Indra Nooyi
    Procter & Gamble = Jon Moeller | David Taylor | David S. Taylor
    Colgate-Palmolive = Noel Wallace | Ian Cook
    Johnson & Johnson = Joaquin Duato | Alex Gorsky
    Pfizer = Albert Bourla
    Eli Lilly = David Ricks | Dave Ricks | David A. Ricks
    Abbott = Robert Ford | Robert B. Ford | Miles White
    Amgen = Robert Bradway | Bob Bradway | Robert A. Bradway
    Gilead = Daniel O'Day | Dan O'Day
    3M = William Brown | Bill Brown | Mike Roman | Michael Roman
    Ford = Jim Farley | Jim Hackett | James Hackett
    General Motors = Mary Barra
    Harley-Davidson = Jochen Zeitz | Matt Levatich | Matthew Levatich
    Boeing = Dave Calhoun | David Calhoun | Dennis Muilenburg | Kelly Ortberg
    Lockheed Martin = Jim Taiclet | James Taiclet | James D. Taiclet | Marillyn Hewson
    Northrop Grumman = Kathy Warden
    General Dynamics = Phebe Novakovic
    Textron = Scott Donnelly | Scott C. Donnelly
    Mattel = Ynon Kreiz
    Hasbro = Chris Cocks | Brian Goldner
    Nike = John Donahoe | Mark Parker | Elliott Hill
    Under Armour = Kevin Plank | Stephanie Linnartz | Patrik Frisk
    VF Corporation = Bracken Darrell | Steve Rendle
    Estee Lauder = Fabrizio Freda | Stéphane de La Faverie
    Starbucks = Laxman Narasimhan | Howard Schultz | Kevin Johnson | Brian Niccol
    McDonald's = Chris Kempczinski | Steve Easterbrook
    Yum Brands = David Gibbs | Greg Creed
    General Mills = Jeff Harmening
    Mars = Poul Weihrauch | Grant Reid | Grant F. Reid
    Hershey = Michele Buck | Kirk Tanner
    Kraft Heinz = Carlos Abrams-Rivera | Miguel Patricio | Bernardo Hees
    Mondelez = Dirk Van de Put
    Campbell = Mark Clouse | Mick Beekhuizen
    Clorox = Linda Rendle | Benno Dorer
    Kimberly-Clark = Mike Hsu | Michael Hsu
    SC Johnson = Fisk Johnson | H. Fisk Johnson
    Whirlpool = Marc Bitzer
    GoPro = Nick Woodman | Nicholas Woodman
    Garmin = Cliff Pemble
    iRobot = Gary Cohen | Colin Angle
    Qualcomm = Cristiano Amon | Steve Mollenkopf
    Texas Instruments = Haviv Ilan | Rich Templeton | Richard Templeton
    Intuit = Sasan Goodarzi | Brad Smith
    Autodesk = Andrew Anagnost
    Valve = Gabe Newell
    Epic Games = Tim Sweeney
    Electronic Arts = Andrew Wilson
    Disney = Bob Iger | Robert Iger | Bob Chapek
    PayPal = Alex Chriss | Dan Schulman
    Match Group = Bernard Kim | Shar Dubey | Mandy Ginsberg | Spencer Rascoff
    Expedia = Ariane Gorin | Peter Kern | Mark Okerstrom
    Booking Holdings = Glenn Fogel
    OpenAI = Sam Altman
    Mozilla = Laura Chambers | Mitchell Baker | Chris Beard
    Automattic = Matt Mullenweg
    Red Hat = Matt Hicks | Paul Cormier | Jim Whitehurst
    """
)


def aliases(kind: str, name: str, known: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Every other accepted name of an entity, those that its table has first."""
    found = [*known, *_ALIASES.get(kind, {}).get(name, ())]
    if kind == "person":
        initials = re.sub(r"\. (?=\w\.)", ".", name)  # J.R.R. Tolkien
        found += [initials, re.sub(r" \w\.(?= )", "", name)]  # William E. Boeing
        if name in _BY_LAST_NAME:
            found.append(name.split()[-1])
    if kind == "company":
        found += [f"{name} {form}" for form in _COMPANY_FORMS]
    if kind == "currency":
        found += [plural(each) for each in (name, *found)]
    if kind == "calling_code":
        found.append(name.lstrip("+"))
    if kind == "domain":
        found.append(name.lstrip("."))
    return tuple(alias for alias in dict.fromkeys(found) if alias != name)


def plural(money: str) -> str:
    """Euros and Swiss francs; the plurals that English does not make with an s are let be."""
    return money if money.endswith(("s", "yen", "won", "baht", "rand", "yuan")) else f"{money}s"
