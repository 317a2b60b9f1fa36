"""What the report cannot say, and why, in plain French."""

from __future__ import annotations

from diagnostics import french
from diagnostics.catalog import Indicator
from diagnostics.indicators.derived import NOT_COMPUTED
from diagnostics.indicators.engine import REFUSED
from diagnostics.reporting import narrative
from diagnostics.reporting.figures import Facts
from diagnostics.reporting.model import Block, Figure, Unknown
from diagnostics.reporting.place import Place

COVERAGE_PUBLISHED = 0.95  # docs/architecture.md: under it a value is withheld


def unknown_of(indicator_id: str, facts: Facts, place: Place, block: Block | None) -> Unknown | None:
    """Why an indicator of the axes has no figure, or not the whole of it; None when it is fully known."""
    indicator = facts.catalog.indicators[indicator_id]
    reason = _reason_absent(indicator, facts) if block is None else _reason_partial(block, facts)
    axes = tuple(a.title for a in place.card.axes if indicator_id in (*a.indicators, *a.complementary))
    return Unknown(indicator.label, narrative.sentence(reason), axes, partial=block is not None) if reason else None


def _reason_absent(indicator: Indicator, facts: Facts) -> str:
    own = facts.own(indicator.id)
    if indicator.unavailable and indicator.formula_for(facts.profile) is None:
        return indicator.unavailable
    if not facts.catalog.is_computable(indicator, facts.profile):
        others = [words for name, words in narrative.PROFILES.items() if facts.catalog.is_computable(indicator, name)]
        elsewhere = f" ; se calcule avec : {french.listing(others)}" if others else ""
        return f"absent des {narrative.PROFILES[facts.profile]}{elsewhere}"
    return _withheld(own) if own else "aucune valeur publiée pour ce territoire ni pour ses repères"


def _reason_partial(block: Block, facts: Facts) -> str:
    own = facts.own(block.indicator_id)
    if block.kind == "measured":
        incomplete = own.reliability == "incomplete"
        return narrative.reliability_words("incomplete", own.period, own.coverage) if incomplete else ""
    if block.kind == "members" and not block.aggregable:
        return "publié pour chaque EPCI seulement : ne se calcule pas pour l’ensemble du territoire"
    if own is not None and own.reliability in ("masked", "incomplete"):
        shown = "les EPCI membres sont présentés" if block.kind == "members" else "seuls les repères sont connus"
        return f"{_withheld(own)} ; {shown}"
    indicator = facts.catalog.indicators[block.indicator_id]
    if block.aggregable and not facts.catalog.is_computable(indicator, facts.profile):
        missing = narrative.PROFILES[facts.profile]
        return f"absent des {missing} : seules des valeurs calculées antérieurement sont reprises"
    scales = french.listing(list(dict.fromkeys(narrative.kind(r.figure.zone) for r in block.benchmarks)))
    return f"inconnu à l’échelle du territoire : seuls des repères sont publiés ({scales})"


def _withheld(figure: Figure) -> str:
    """Why a row without a value has none."""
    if figure.reliability == "masked":
        return "masqué : effectifs trop petits ou secret statistique du producteur"
    if told := next((mark for mark in (NOT_COMPUTED, REFUSED) if mark in figure.method), None):
        # The engine and the statistics say it themselves, with the amounts or the tables in cause.
        return figure.method[figure.method.index(told) :]
    if figure.coverage is not None and figure.coverage < COVERAGE_PUBLISHED:
        return (
            f"non publié : les communes dont la donnée est connue n’abritent que "
            f"{narrative.coverage_words(figure.coverage)} de la population "
            f"(il en faut au moins {french.quantity(COVERAGE_PUBLISHED * 100, '%')})"
        )
    return "la donnée manque dans le fichier du producteur"
