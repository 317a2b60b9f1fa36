"""Points of vigilance: the rule, the sentence and the reserve, case by case."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics import french
from diagnostics.errors import StatisticsError
from diagnostics.statistics.vigilance import points_of_vigilance

BASE = {
    "axis": "1",
    "indicator_id": "a",
    "label": "Part des 75 ans ou plus",
    "unit": "%",
    "decimals": 1,
    "direction": "higher_is_worse",
    "value": 12.34,
    "ci_low": 11.8,
    "ci_high": 12.9,
    "benchmark": 9.8,
    "benchmark_name": "France",
    "comparison": "worse",
    "reliability": "ok",
}


def figures(*changes):
    return pd.DataFrame([BASE | {"indicator_id": f"i{n}"} | change for n, change in enumerate(changes)])


def found(*changes, **options):
    return points_of_vigilance(figures(*changes), french.quantity, french.interval, **options)


def test_the_sentence_an_analyst_would_write():
    row = found(
        {
            "trend": "worsening",
            "trend_from": 2017,
            "trend_to": 2022,
            "unequal": True,
            "sii": 3.0,
            "reserve": "Voir fiche.",
        }
    ).iloc[0]
    assert row.sentence == (
        "Part des 75 ans ou plus : 12,3\u202f% [11,8\u00a0; 12,9], significativement au-dessus de la référence "
        "(France : 9,8\u202f%) ; évolution défavorable de 2017 à 2022 ; moins favorable dans les communes les plus "
        "défavorisées du territoire."
    )
    assert (row.points, row.reasons, row.reserve) == (6, "worse + worsening + unequal_inside", "Voir fiche.")
    assert row.gap == pytest.approx((12.34 - 9.8) / 9.8)


def test_an_exhaustive_figure_is_read_by_its_place():
    row = found(
        {
            "label": "Accessibilité aux médecins généralistes", "unit": "C/an/hab.", "direction": "higher_is_better",
            "value": 2.1, "ci_low": np.nan, "ci_high": np.nan, "benchmark": 3.72, "comparison": "not_compared",
            "position": 0.93,
        }
    ).iloc[0]  # fmt: skip
    assert "au-dessous de la référence (France : 3,7\u00a0C/an/hab.)" in row.sentence
    assert "moins favorable que dans 93\u202f% des territoires comparables" in row.sentence
    assert "significativement" not in row.sentence
    assert row.reserve == "Sans intervalle de confiance : écart descriptif."
    assert row.points == 2


@pytest.mark.parametrize(("position", "said"), [(0.9992, "99"), (1.0, "100")])
def test_a_share_of_peers_is_not_rounded_up_to_all_of_them(position, said):
    row = found(
        {"label": "A", "unit": "%", "direction": "higher_is_worse", "value": 9.0, "ci_low": np.nan, "ci_high": np.nan,
         "benchmark": 3.0, "comparison": "not_compared", "position": position}
    ).iloc[0]  # fmt: skip
    assert f"moins favorable que dans {said}\u202f%" in row.sentence


@pytest.mark.parametrize(
    ("change", "points"),
    [
        ({}, 3),
        ({"reliability": "unstable"}, 2),
        ({"reliability": "modelled", "comparison": "similar", "unequal": True, "sii": 1.0}, 1),
        ({"reliability": "context"}, 2),
        ({"comparison": "similar", "trend": "worsening"}, 2),
        ({"comparison": "similar", "unequal": True, "sii": 0.4}, 1),
        ({"position": 0.99}, 3),
    ],
)
def test_points(change, points):
    assert found(change).points.tolist() == [points]


@pytest.mark.parametrize(
    "change",
    [
        {"comparison": "better"},
        {"comparison": "similar"},
        {"direction": "neutral"},
        {"reliability": "masked"},
        {"reliability": "incomplete"},
        {"value": np.nan},
        {"comparison": "similar", "trend": "improving"},
        {"comparison": "similar", "unequal": True, "sii": -0.4},
        {"comparison": "not_compared", "position": 0.79, "ci_low": np.nan},
    ],
)
def test_what_is_not_a_point_of_vigilance(change):
    assert found(change).empty


def test_reserves_go_with_the_figure():
    context = found({"reliability": "context", "zone_name": "Meurthe-et-Moselle"}).iloc[0]
    assert context.reserve.startswith("Valeur de contexte (Meurthe-et-Moselle) :")
    assert found({"reliability": "unstable"}).iloc[0].reserve.startswith("Petits effectifs")
    assert "modélisée" in found({"reliability": "modelled"}).iloc[0].reserve


@given(st.permutations(range(5)))
def test_ranking_by_axis_does_not_depend_on_the_order(order):
    rows = figures(
        {"axis": "2", "value": 20.0},
        {"axis": "1", "value": 11.0},
        {"axis": "1", "value": 13.0},
        {"axis": "1", "value": 30.0, "reliability": "unstable"},
        {"axis": "1", "value": 13.0, "label": "Autre"},
    )
    ranked = points_of_vigilance(rows.iloc[list(order)], french.quantity, french.interval)
    assert list(zip(ranked.axis, ranked["rank"], ranked.indicator_id, strict=True)) == [
        ("1", 1, "i4"),
        ("1", 2, "i2"),
        ("1", 3, "i1"),
        ("1", 4, "i3"),
        ("2", 1, "i0"),
    ]
    assert ranked.set_index("indicator_id").overall.to_dict() == {"i0": 1, "i4": 2, "i2": 3, "i1": 4, "i3": 5}
    first = points_of_vigilance(rows, french.quantity, french.interval, limit=1)
    assert first.indicator_id.tolist() == ["i4", "i0"]


def test_refusals():
    with pytest.raises(StatisticsError, match="colonnes absentes benchmark"):
        points_of_vigilance(figures({}).drop(columns="benchmark"), french.quantity, french.interval)
    with pytest.raises(StatisticsError, match="Ligne 1 / x : indicateur en double"):
        found({"indicator_id": "x"}, {"indicator_id": "x"})
    with pytest.raises(StatisticsError, match="Sens inconnu : « up »"):
        found({"direction": "up"})
