"""French sentences about figures: articles, comparisons in words, formulas in words, flags.

Pure functions of names and numbers. Numbers go through `diagnostics.french` only.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping

import pandas as pd

from diagnostics import french
from diagnostics.catalog.models import Formula, ShareOverThreshold, Term
from diagnostics.reporting.model import Trend, Zone

# « Type de nom en clair » of the COG (INSEE): how a name takes its article. https://www.insee.fr/fr/information/2560684
OF = {
    "0": "de ", "1": "d’", "2": "du ", "3": "de la ", "4": "des ", "5": "de l’", "6": "des ", "7": "de las ",
    "8": "de los ",
}  # fmt: skip

# First words of the names of authorities, and the article each takes.
AUTHORITIES = {
    "petr": "2", "pôle": "2", "pays": "2", "syndicat": "2", "grand": "2",
    "territoire": "2", "bassin": "2", "val": "2",
    "ca": "3", "cc": "3", "cu": "3", "communauté": "3", "métropole": "3",
    "eurométropole": "5", "agglomération": "5",
}  # fmt: skip

RELIABILITY = {
    "ok": "",
    "unstable": "valeur fragile (petits effectifs)",
    "masked": "masqué",
    "context": "donnée de contexte",
    "modelled": "estimation par modèle",
    "incomplete": "donnée incomplète",
    "snapshot": "repère calculé antérieurement",
}

VERDICTS = {"worse": "plus défavorable", "similar": "comparable", "better": "plus favorable"}

DIRECTIONS = {
    "higher_is_worse": "une valeur élevée est défavorable",
    "higher_is_better": "une valeur élevée est favorable",
    "neutral": "descriptif : ni favorable, ni défavorable",
}

PROFILES = {
    "embedded": "données embarquées",
    "mirror": "données du dossier miroir",
    "official": "données des sources officielles",
}

KINDS = {
    "ratio": "rapport de sommes",
    "density": "rapport de sommes",
    "sum": "somme",
    "weighted_mean": "moyenne pondérée",
    "share_over_threshold": "part de population au-delà d’un seuil",
    "published": "valeur publiée par le producteur",
    "index": "rapport de sommes pondérées",
    "growth": "taux annuel moyen d’évolution",
    "median": "médiane des communes",
    "maximum": "plus forte valeur des communes",
    "derived": "calcul propre",
}

ZONE_TYPES = {
    "iris": "IRIS",
    "commune": "commune",
    "epci": "EPCI",
    "petr": "PETR",
    "cls": "CLS",
    "departement": "département",
    "region": "région",
    "similar": "territoires similaires",
    "france": "France",
}


def kind(zone: Zone) -> str:
    """What a zone is, in one word or two: « département », « département et région »."""
    return "département et région" if zone.also_region else ZONE_TYPES[zone.type]


def _starts_with_vowel(name: str) -> bool:
    """Whether « de » elides. An initial h is taken as aspirate unless the COG says otherwise."""
    return unicodedata.normalize("NFD", name)[:1].lower() in "aeiouyœæ" if name else False


def tncc_of(name: str, zone_type: str, tncc: str | None = None) -> str | None:
    """The COG's article code of a name: as given, else guessed for authorities and communes, else None (unknown)."""
    if tncc is not None and tncc in OF:
        return tncc
    if zone_type == "france":
        return "3"
    if zone_type in ("departement", "region"):
        return None
    first = name.split(" ", maxsplit=1)[0].lower()
    if zone_type != "commune" and first in AUTHORITIES:
        return AUTHORITIES[first]
    return "1" if _starts_with_vowel(name) else "0"


def of(name: str, zone_type: str, tncc: str | None = None) -> str:
    """« de l’Isère », « du PETR Val de Lorraine », « d’Échirolles », « du Pont-de-Claix », « de la région Grand Est ».

    Départements and régions whose article is not known keep a neutral wording: « du département Isère ».
    """
    code = tncc_of(name, zone_type, tncc)
    if zone_type == "region":
        return f"de la région {name}"
    if code is None:
        return f"du département {name}"
    if zone_type == "commune":
        # A commune carries its article in its name: only « Le » and « Les » contract.
        for article, contracted in (("Le ", "du "), ("Les ", "des ")):
            if name.startswith(article):
                return contracted + name.removeprefix(article)
    return OF[code] + name


def with_article(of_name: str) -> str:
    """The name with its article, from the name after « de »: « la Meuse » from « de la Meuse »."""
    for preposition, article in (
        ("de la ", "la "),
        ("de l’", "l’"),
        ("des ", "les "),
        ("du ", "le "),
        ("d’", ""),
        ("de ", ""),
    ):
        if of_name.startswith(preposition):
            return article + of_name.removeprefix(preposition)
    return of_name


def against(zone_type: str, name: str, of_name: str) -> str:
    """The zone after « que »: « la région », « la Meuse », « le département Isère », « la France »."""
    known = {
        "region": "la région", "france": "la France", "epci": "l’intercommunalité",
        "similar": "les territoires similaires",
    }  # fmt: skip
    return known.get(zone_type) or (with_article(of_name) if zone_type == "departement" else name)


def sentence(text: str) -> str:
    """Capital letter first, one full stop last."""
    text = text.strip()
    return text if not text else text[0].upper() + text[1:] + ("" if text[-1] in ".!?…" else ".")


def comparison_words(
    verdict: str, value: float, benchmark: float, *, unit: str, decimals: int, than: str = "", brief: bool = False
) -> str:
    """« plus défavorable que la région »; without a test, the plain gap: « 12 % de plus que la région (sans test) ».

    Gaps of percentages are in points, of other units in % of the benchmark. `brief`: the words for a column whose
    header names the benchmark and where a hollow mark says that nothing was tested.
    """
    if verdict in ("worse", "better"):
        return f"{VERDICTS[verdict]}{_que(than)}"
    if verdict == "similar":
        return f"comparable {to(than)}" if than else "comparable"
    gap = gap_words(value, benchmark, unit=unit, decimals=decimals, than=than)
    return gap if brief else f"{gap} (sans test)"


MANY_TIMES = 3
"""From this ratio on, « 14 fois plus » reads better than « 1 300 % de plus »."""


def gap_words(value: float, benchmark: float, *, unit: str, decimals: int, than: str = "") -> str:
    """« 2,3 points de plus que la région », « 12 % de moins que la France », « au même niveau que la région »."""
    difference = round(value, decimals) - round(benchmark, decimals)
    if abs(difference) < 10**-decimals / 2:
        return f"au même niveau{_que(than)}"
    more = "de plus" if difference > 0 else "de moins"
    if "%" in unit:
        points = "point" if abs(difference) < 2 else "points"
        return f"{french.number(abs(difference), decimals)}{french.NO_BREAK}{points} {more}{_que(than)}"
    if round(benchmark, decimals) <= 0 or unit == "score":
        return f"{french.quantity(abs(difference), unit, decimals)} {more}{_que(than)}"
    if value >= MANY_TIMES * benchmark:
        return f"{french.number(value / benchmark, 0 if value >= 10 * benchmark else 1)} fois plus{_que(than)}"
    share = abs(value / benchmark - 1) * 100
    return f"{french.quantity(share, '%', 0 if share >= 1 else 1)} {more}{_que(than)}"


def _que(than: str) -> str:
    return f" que {than}" if than else ""


def to(zone: str) -> str:
    """« à la région », « au Rhône », « aux Ardennes », « à l’intercommunalité »."""
    for article, contracted in (("le ", "au "), ("les ", "aux ")):
        if zone.startswith(article):
            return contracted + zone.removeprefix(article)
    return f"à {zone}"


def reliability_words(reliability: str, period: str, coverage: float | None) -> str:
    """The flag of a value as a reader understands it; empty when there is nothing to say."""
    if reliability == "snapshot":
        return f"{RELIABILITY[reliability]} (millésime {period})"
    if reliability == "incomplete" and coverage is not None:
        return f"donnée incomplète : couvre {coverage_words(coverage)} de la population"
    return RELIABILITY[reliability]


PEERS = {
    "epci": "intercommunalités",
    "commune": "communes de 5 000 habitants ou plus",
    "departement": "départements",
}

UNTELLING = 0.8
"""Share of the ranks that an interval may allow before the rank is not worth a word."""

ARROWS = {"rising": "↑", "falling": "↓", "stable": "→"}
MOVES = {"rising": "hausse", "falling": "baisse", "stable": "stable"}
COURSES = {"improving": "favorable", "worsening": "défavorable"}
TESTS = {"chi2": "test du khi-deux de tendance", "mann_kendall": "test de Mann-Kendall"}


def trend_of(row: Mapping, unit: str, decimals: int) -> Trend | None:
    """How a figure moved, from a row of the observatory; None under two vintages."""
    if pd.isna(row["trend_from"]):
        return None
    start, end, change = row["trend_from"], row["trend_to"], row["change"]
    # A unit in words is said once, after the last value.
    first = french.quantity(row["trend_first"], unit if unit in french.SIGNS else "", decimals)
    last = french.quantity(row["value"], unit, decimals)
    gap = round(row["value"], decimals) - round(row["trend_first"], decimals)
    moved = change if change != "not_tested" else "stable" if gap == 0 else "rising" if gap > 0 else "falling"
    course, test = row["trend"], TESTS.get(row["trend_test"], "")
    said = COURSES.get(course, "stable" if moved == "stable" else f"en {MOVES[moved]}")
    if change == "not_tested":
        ending = " (sans test)"
    elif change == "stable":
        ending = f" ; l’écart peut venir du hasard ({test})"
    else:
        ending = f" ; une {MOVES[moved]} {COURSES.get(course, 'nette')}, que le hasard n’explique pas ({test})"
    same = "inchangé" if moved == "stable" and change == "not_tested" else ""
    return Trend(
        arrow=ARROWS[moved],
        words=said if change != "not_tested" else f"{same or said}, sans test",
        years=f"{start}-{end}",
        course=course,
        sentence=f"Évolution : de {first} en {start} à {last} en {end}{ending}.",
    )


def rank_words(row: Mapping, peers: str) -> str:
    """« Rang : 412e sur 1 255 intercommunalités (entre …). », the first being the most favourable.

    Nothing when the interval allows nearly every rank: such a rank would say nothing.
    """
    if pd.isna(row["rank"]) or row["ranked"] < 2 or row["rank_high"] - row["rank_low"] > UNTELLING * row["ranked"]:
        return ""
    place, low, high = (math.floor(row[name]) for name in ("rank", "rank_low", "rank_high"))
    field = f"sur {french.number(row['ranked'])} {PEERS[peers]}"
    if low == high:
        return f"Rang : {ordinal(place, peers)} {field}."
    if pd.isna(row["ci_low"]):
        return f"Rang : {ordinal(low, peers)} {field}, à égalité avec {plural(high - low, 'autre')}."
    doubt = f"entre la {ordinal(low)} et la {ordinal(high)} place, compte tenu de l’intervalle"
    return f"Rang : {ordinal(place, peers)} {field} ({doubt})."


def brief_rank(row: Mapping) -> str:
    """« 54e sur 101 », for a column of départements."""
    place = row["rank_low"] if pd.isna(row["ci_low"]) else row["rank"]
    return f"{ordinal(math.floor(place), 'departement')} sur {french.number(row['ranked'])}"


def ordinal(rank: int, peers: str = "epci") -> str:
    """« 1re », « 412e »; « 1er » among départements."""
    return f"{french.number(rank)}{('er' if peers == 'departement' else 're') if rank == 1 else 'e'}"


def inside_words(row: Mapping, unit: str, decimals: int) -> str:
    """Which communes are worse off, and by how much from one end to the other; nothing when chance may explain it."""
    if not row["unequal"] or row["direction"] == "neutral":
        return ""
    worse = (row["sii"] > 0) == (row["direction"] == "higher_is_worse")
    return (
        f"À l’intérieur du territoire, les communes les plus défavorisées sont {'moins bien' if worse else 'mieux'} "
        f"placées que les autres : {slope_words(row['sii'], unit, decimals)} de la moins à la plus défavorisée "
        f"{french.interval(row['sii_low'], row['sii_high'], decimals)}."
    )


def slope_words(slope: float, unit: str, decimals: int) -> str:
    """A gap in the unit of the indicator, percentages in points: « +4,2 points »."""
    amount = french.number(slope, decimals, sign=True)
    if "%" in unit:
        return f"{amount}{french.NO_BREAK}{'point' if abs(round(slope, decimals)) < 2 else 'points'}"
    return f"{amount}{french.NO_BREAK}{unit}" if unit else amount


def computed_words(method: str, method_note: str, besides: str) -> str:
    """What a computation of its own said of its value, without the words of the card, the names of methods, and what
    the report shows elsewhere (`besides`: how it begins)."""
    kind, *parts = re.split(r"(?<!\s); ", method)
    if kind != "derived":
        return ""
    note = _plain(method_note)
    return "\u202f; ".join(
        part for part in parts if " " in part and _plain(part) != note and not part.startswith(besides)
    )


def _plain(text: str) -> str:
    """A text without its typography, to know it again."""
    return re.sub(r"\s+", " ", text).strip().rstrip(".")


def coverage_words(coverage: float) -> str:
    """A share of population below one is never rounded up to 100 %."""
    percent = coverage * 100
    return french.quantity(min(percent, 99.9) if coverage < 1 else percent, "%", 1)


def method_words(method: str) -> str:
    """The `method` of a value, its kind of formula in French."""
    kind, separator, rest = method.partition(";")
    return KINDS.get(kind, kind) + separator + rest


def plural(count: float, singular: str, many: str | None = None) -> str:
    """« 1 commune », « 133 communes »: French takes the plural from two."""
    noun = singular if abs(count) < 2 else many or singular + "s"
    return f"{french.number(count)}{french.NO_BREAK}{noun}"


def typography(text: str) -> str:
    """Curly apostrophes, and no-break spaces around the marks that want one, so that no line begins with a mark."""
    text = re.sub(r"(?<=\w)'(?=\w)", "’", text)
    text = re.sub(r" (?=[;?!%»](?:\W|$))", french.NARROW, text)
    text = re.sub(r"(?<=×) (?=\d)", french.NO_BREAK, text)
    return re.sub(r"(?<=«) ", french.NARROW, re.sub(r" (?=:(?:\s|$))", french.NO_BREAK, text))


# --- formulas --------------------------------------------------------------------------------------------------------


def _coefficient(value: float) -> str:
    decimals = 0 if float(value).is_integer() else min(len(f"{value:g}".partition(".")[2]), 6)
    return french.number(value, decimals)


def _terms(terms: tuple[Term, ...], label: Callable[[str], str]) -> str:
    parts = []
    for position, term in enumerate(terms):
        sign = "− " if term.coefficient < 0 else ("+ " if position else "")
        factor = "" if abs(term.coefficient) == 1 else f"{_coefficient(abs(term.coefficient))} × "
        parts.append(f"{sign}{factor}{label(term.variable)} ({term.period})")
    return " ".join(parts)


MANY_INPUTS = 6


def formula_words(formula: Formula, label: Callable[[str], str], *, brief: bool = False) -> str:
    """How a figure is computed, in one French sentence. `label` gives the words of a variable.

    `brief`: a computation from many series names the first three, and how many others.
    """
    roles = {name: _terms(terms, label) for name, terms in formula.roles().items()}
    factor = getattr(formula, "multiplier", 1.0)
    times = f", × {_coefficient(factor)}" if factor != 1 else ""
    kind = formula.kind
    if kind in ("ratio", "density"):
        text = f"somme de [{roles['numerator']}] divisée par somme de [{roles['denominator']}]{times}"
    elif kind == "sum":
        text = f"somme de [{roles['numerator']}]"
    elif kind == "weighted_mean":
        text = f"moyenne de [{roles['value']}], pondérée par [{roles['weight']}]"
    elif kind == "share_over_threshold":
        text = (
            f"part de [{roles['population']}] vivant dans les communes où [{roles['value']}] "
            f"{_test_words(formula)}{times}"
        )
    elif kind == "published":
        # Its terms are vintages of one figure, not a sum.
        figures = " ou ".join(f"{label(term.variable)} ({term.period})" for term in formula.value)
        text = f"[{figures}], tel que publié pour la zone : ce chiffre ne se recompose pas à partir des communes"
    elif kind == "index":
        weight = f", chacun pondéré par [{roles['weight']}]" if "weight" in roles else ""
        text = f"somme de [{roles['numerator']}] rapportée à somme de [{roles['denominator']}]{weight}{times}"
    elif kind == "growth":
        text = (
            f"taux annuel moyen d’évolution entre [{roles['start']}] et [{roles['end']}] "
            f"sur {plural(formula.years, 'an')}, à périmètre constant"
        )
    elif kind == "derived":
        series = list(dict.fromkeys(roles.values()))
        if brief and len(series) > MANY_INPUTS:
            series = [*series[:3], f"{french.number(len(series) - 3)} autres séries, nommées dans l’annexe"]
        text = f"calcul à partir de {french.listing(series)}"
    else:
        text = f"médiane de [{roles['value']}] entre les communes : elle décrit les communes, non les habitants"
    return sentence(text)


def _test_words(formula: ShareOverThreshold) -> str:
    words = {
        "<": "est inférieur à", "<=": "est inférieur ou égal à", ">": "est supérieur à",
        ">=": "est supérieur ou égal à", "=": "vaut", "in": "vaut l’une des valeurs",
    }[formula.test]  # fmt: skip
    if formula.quantile is not None:
        share = french.quantity(formula.quantile * 100, "%")
        return f"{words} la valeur en dessous de laquelle vivent {share} des habitants de France"
    values = formula.threshold if isinstance(formula.threshold, list) else [formula.threshold]
    return f"{words} {french.listing([_coefficient(value) for value in values])}"


def anchor(text: str) -> str:
    """A page anchor from any text: ASCII letters, digits and hyphens."""
    plain = unicodedata.normalize("NFD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-") or "x"
