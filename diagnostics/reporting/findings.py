"""The sentence that opens each section, by a stated rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from diagnostics.reporting import narrative
from diagnostics.reporting.blocks import main_row
from diagnostics.reporting.figures import quantity
from diagnostics.reporting.model import Block, Row, Verdict
from diagnostics.reporting.place import Place

NOTABLE = 0.05  # relative gap; FINDING_RULE says it

FINDING_RULE = (
    "Le constat retenu pour chaque axe suit une règle fixe : parmi les indicateurs dont le sens est établi, celui qui "
    "s’écarte le plus de la région (écart relatif) du côté défavorable, d’abord quand l’intervalle de confiance à 95 % "
    "exclut la valeur régionale, ensuite sans test, si l’écart dépasse 5 %. Les valeurs fragiles ne sont pas retenues."
)

NOTHING_DECLARED = "Aucune donnée ouverte n’alimente encore cet axe : le catalogue ne lui associe aucun indicateur."
NOTHING_KNOWN = "Aucun indicateur de cet axe n’est connu à ce jour ; les raisons sont données ci-dessous."


@dataclass(frozen=True)
class _Gap:
    """How far a block stands from its main benchmark, `unfavourable` by the indicator's direction.

    `relative` is |a − b| / (a + b): between 0 and 1, so that a benchmark near zero does not outweigh everything.
    """

    block: Block
    row: Row
    relative: float
    unfavourable: bool

    @property
    def notable(self) -> bool:
        """Unfavourable without a test, and large enough to be worth a sentence."""
        gap = abs(self.block.own.figure.value - self.row.figure.value)
        return self.row.verdict == "not_compared" and self.unfavourable and gap > NOTABLE * self.row.figure.value

    @property
    def rank(self) -> tuple[int, float]:
        """Unfavourable by the test, then notable without one, then favourable, then what nothing sets apart."""
        favourable = self.row.verdict == "better" or (self.row.verdict == "not_compared" and not self.unfavourable)
        alike = round(self.block.own.figure.value - self.row.figure.value, self.block.decimals) == 0
        first = 3 if self.row.verdict == "worse" else 2 if self.notable else 1 if favourable and not alike else 0
        return first, self.relative


def _gap(block: Block, place: Place) -> _Gap | None:
    row = main_row(block, place)
    if (
        block.kind != "measured"
        or block.countable
        or block.direction == "neutral"
        or row is None
        or row.figure.period != block.own.figure.period
        or block.own.figure.reliability == "unstable"
        or row.figure.value <= 0
        or block.own.figure.value < 0
    ):
        return None
    difference = block.own.figure.value - row.figure.value
    unfavourable = difference > 0 if block.direction == "higher_is_worse" else difference < 0
    return _Gap(block, row, abs(difference) / (block.own.figure.value + row.figure.value), unfavourable)


def finding_of(blocks: Sequence[Block], place: Place, *, declared: bool = True) -> tuple[str, Verdict]:
    """The opening sentence of a section, by FINDING_RULE, and the verdict it rests on.

    `declared`: whether the axis names any indicator at all.
    """
    gaps = [gap for block in blocks if (gap := _gap(block, place))]
    if not declared:
        return NOTHING_DECLARED, "not_compared"
    if not blocks:
        return NOTHING_KNOWN, "not_compared"
    if not gaps:
        first = blocks[0]
        return f"{first.label} : {first.reading[:1].lower()}{first.reading[1:]}", "not_compared"
    gap = max(gaps, key=lambda g: g.rank)
    own, other = gap.block.own.figure, gap.row.figure
    zone = f"la région {other.zone.name}" if other.zone.is_region else "la France"
    figures = f"{gap.block.label} : {quantity(own)} dans le territoire, contre {quantity(other)} pour {zone}"
    than = narrative.against(other.zone.type, other.zone.name, other.zone.of)
    difference = narrative.gap_words(own.value, other.value, unit=own.unit, decimals=own.decimals, than=than)
    if gap.row.verdict == "worse":
        return f"{figures}. L’écart est défavorable et dépasse ce que le hasard explique.", "worse"
    if gap.notable:
        return f"{figures}, soit {difference}. L’écart est défavorable ; il n’est pas testé.", "not_compared"
    if len(gaps) == 1:
        none = f"Le seul indicateur comparé n’est pas nettement plus défavorable que {than} :"
    else:
        none = (
            f"Parmi les indicateurs comparés, aucun n’est nettement plus défavorable que {than}. L’écart le plus "
            "marqué :"
        )
    label = f"{gap.block.label[:1].lower()}{gap.block.label[1:]}"
    return f"{none} {label}, {quantity(own)} contre {quantity(other)}.", gap.row.verdict
