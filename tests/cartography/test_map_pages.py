"""Pages: facts of structure, read from the figure itself."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import cartography_world as world
import numpy as np
import pytest
from PIL import Image

from diagnostics.cartography import (
    Mark,
    alternative_text,
    choropleth,
    concentrations,
    locator,
    proportional_symbols,
    save,
    typology,
)
from diagnostics.errors import DiagnosticError, GeographyError

LABELS = r"label-|scale-|north-|population-legend-text"
MARKS = (
    Mark("PETR de l’Exemple", 1800.0, "territory"),
    Mark("CC du Bassin de Pont-à-Mousson et de ses nombreux environs", 1800.0, "member"),
    Mark("Meurthe-et-Moselle", 1799.0, "benchmark"),
    Mark("Grand Est", None, "benchmark"),
    Mark("France", 2500.0, "benchmark"),
)


@pytest.fixture(scope="module")
def ground():
    return world.communes()


@pytest.fixture(scope="module")
def context(ground):
    return world.context(ground, *MARKS)


def test_every_zone_is_counted_once_in_the_legend(ground, context) -> None:
    zones = world.zones(ground)
    zones.loc[zones.index[:5], "status"] = "masked"
    zones.loc[zones.index[5:7], "value"] = np.nan
    zones.loc[zones.index[7:10], "status"] = "unstable"
    figure = choropleth(world.spec(breaks=(1000.0, 2000.0, 9000.0), decimals=0), zones, context)
    shown = zones["value"].where(zones["status"].isin(["ok", "unstable"])).dropna()
    expected = [
        sum(low <= v < high for v in shown) for low, high in [(9000, 1e9), (2000, 9000), (1000, 2000), (0, 1000)]
    ]
    assert world.counts(figure) == expected
    assert expected[0] == 0, "an empty class stays in the legend"
    assert world.counts(figure, "masked") == [5]
    assert world.counts(figure, "missing") == [2]
    assert world.counts(figure, "unstable") == [3]
    labels = [t for g, t in sorted(world.texts(figure, "legend-class").items())]
    assert labels[0] == "9\u202f000 ou plus"


def test_special_entries_appear_only_when_there_are_some(ground, context) -> None:
    figure = choropleth(world.spec(), world.zones(ground), context)
    for kind in ("masked", "missing", "unstable"):
        assert world.counts(figure, kind) == []
    assert "zones-masked" not in world.gids(figure)


@pytest.mark.parametrize(
    "figure_of",
    [
        lambda z, c: choropleth(world.spec(title="Un titre qui ne tient pas sur une ligne " * 4), z, c),
        lambda z, c: choropleth(world.spec(reserve="Une longue réserve. " * 15), z, c, population_dots=True),
        lambda z, c: proportional_symbols(world.spec(decimals=0), z, c),
        lambda z, _: locator(_),
    ],
    ids=["long title", "population dots", "symbols", "locator"],
)
def test_no_two_names_overlap_and_none_leaves_the_page(ground, context, figure_of) -> None:
    figure = figure_of(world.zones(ground), context)
    boxes = world.boxes(figure, LABELS)
    # Lines of one name are set close; they belong together.
    names = {gid: box for gid, box in boxes.items() if gid.startswith("label-")}
    merged: dict[str, tuple] = {}
    for gid, box in names.items():
        key = gid.rsplit("-", 1)[0]
        old = merged.get(key, box)
        merged[key] = (min(old[0], box[0]), min(old[1], box[1]), max(old[2], box[2]), max(old[3], box[3]))
    merged |= {gid: box for gid, box in boxes.items() if gid in ("scale-bar", "north-arrow")}
    assert len([gid for gid in merged if gid.startswith("label-epci")]) == 4
    assert len(merged) > 10
    assert world.overlapping(merged) == []
    width, height = figure.get_size_inches() * 72
    assert all(b[0] >= 0 and b[1] >= 0 and b[2] <= width and b[3] <= height for b in boxes.values())


def test_column_texts_do_not_overlap_and_stay_in_the_column(ground, context) -> None:
    zones = world.zones(ground)
    zones.loc[zones.index[:3], "status"] = "masked"
    figure = choropleth(world.spec(decimals=0), zones, context)
    boxes = world.boxes(
        figure, r"legend-(heading|noun|class|count|masked)|mark-(label|value)|tick-text|histogram-title"
    )
    assert world.overlapping(boxes, slack=1.5) == []
    assert max(box[2] for box in boxes.values()) <= 841.89 - 27
    map_right = max(box[2] for box in world.boxes(figure, "neighbours").values())
    assert min(box[0] for box in boxes.values()) > map_right
    assert 0.7 <= map_right / 841.89 <= 0.78, "the map takes three quarters of the page"


def test_marks_show_the_territory_its_members_and_the_benchmarks(ground, context) -> None:
    figure = choropleth(world.spec(decimals=0), world.zones(ground), context)
    values = list(world.texts(figure, "mark-value").values())
    assert values == ["1\u202f800", "1\u202f800", "1\u202f799", "n.d.", "2\u202f500"]
    dots = {gid for gid in world.gids(figure) if gid.startswith("mark-dot")}
    assert dots == {"mark-dot-0", "mark-dot-1", "mark-dot-2", "mark-dot-4"}, "an unknown benchmark has no dot"
    assert world.texts(figure, "mark-label-1")["mark-label-1"].endswith("…")


def test_too_many_marks_are_refused(ground, context) -> None:
    marks = [Mark(f"Repère {i}", 1.0, "benchmark") for i in range(10)]
    with pytest.raises(DiagnosticError, match="10 repères"):
        choropleth(world.spec(), world.zones(ground), context.with_marks(*marks))


def test_all_masked_says_so_and_draws_no_histogram(ground, context) -> None:
    zones = world.zones(ground, status="masked").assign(value=np.nan)
    figure = choropleth(world.spec(), zones, context.with_marks())
    assert world.counts(figure) == []
    assert world.counts(figure, "masked") == [64]
    assert world.texts(figure, "nothing") == {"nothing-0": "Aucune valeur publiable."}
    assert not any(gid.startswith("histogram") for gid in world.gids(figure))
    assert "Aucune valeur publiable" in alternative_text(world.spec(), zones)


def test_marks_stand_alone_when_no_zone_may_be_shown(ground, context) -> None:
    marks = [Mark("CLS", float("nan"), "territory"), Mark("France", 2.0, "benchmark")]
    figure = choropleth(world.spec(), world.zones(ground, status="masked"), context.with_marks(*marks))
    assert list(world.texts(figure, "mark-value").values()) == ["n.d.", "2,0"]
    assert world.texts(figure, "nothing")


def test_a_single_value_is_one_class_named_by_it(ground, context) -> None:
    figure = choropleth(world.spec(), world.zones(ground).assign(value=3.25), context.with_marks())
    assert world.counts(figure) == [64]
    assert list(world.texts(figure, "legend-class").values()) == ["3,3"]


def test_negative_values_are_written_with_a_minus(ground, context) -> None:
    zones = world.zones(ground)
    zones["value"] = (zones["value"] - 2000) / 1000
    spec = world.spec(classification="diverging", benchmark=0.0, direction="neutral", theme="population")
    labels = list(world.texts(choropleth(spec, zones, context.with_marks()), "legend-class").values())
    assert labels[-1].startswith("moins de \u2212")


def test_histogram_bars_hold_every_known_value(ground, context) -> None:
    figure = choropleth(world.spec(), world.zones(ground), context)
    bars = [a for a in figure.artists if re.fullmatch(r"histogram-\d", a.get_gid())]
    assert len(bars) == 5
    assert len({tuple(bar.get_facecolor()[0]) for bar in bars}) == 5


def test_surroundings_of_a_single_commune_are_coloured_and_only_it_is_outlined(ground) -> None:
    own = ground.copy()
    own["inside"] = own["name"] == "Saint-Exemple-sur-Meuse 3-3"
    context = world.context(own)
    context = replace(context, epci=world.context(ground).epci, prepared={})
    zones = ground.loc[ground["inside"]].assign(value=lambda f: f["population"], status="ok")
    zones["inside"] = zones["name"] == "Saint-Exemple-sur-Meuse 3-3"
    figure = choropleth(world.spec(decimals=0), zones, context)
    outline = world.boxes(figure, "perimeter")["perimeter"]
    frame = world.boxes(figure, "neighbours")["neighbours"]
    assert 0.2 < (outline[3] - outline[1]) / (frame[3] - frame[1]) < 0.5
    # Zones out of the frame are neither drawn nor counted.
    drawn = next(a for a in figure.artists if a.get_gid() == "zones")
    assert sum(world.counts(figure)) == len(drawn.get_paths()) < 64
    assert [t for g, t in world.texts(figure, "label-epci").items()], "the EPCI around is named"


def test_symbols_have_areas_in_proportion_and_none_for_zero(ground, context) -> None:
    zones = world.zones(ground)
    zones["value"] = 0.0
    zones.loc[zones.index[0], "value"] = 400.0
    zones.loc[zones.index[1], "value"] = 100.0
    figure = proportional_symbols(world.spec(decimals=0, unit="personnes"), zones, context)
    circles = next(a for a in figure.artists if a.get_gid() == "symbols").get_paths()
    widths = [path.get_extents().width for path in circles]
    assert len(circles) == 2
    assert widths[0] == pytest.approx(2 * widths[1])
    assert list(world.texts(figure, "leader-value").values()) == ["400", "100"]
    assert world.counts(figure) == [62]
    with pytest.raises(DiagnosticError, match="négatif"):
        proportional_symbols(world.spec(), zones.assign(value=-1.0), context)


def test_largest_counts_are_never_chosen_among_equals(ground, context) -> None:
    zones = world.zones(ground).assign(value=1.0)
    zones.loc[zones.index[:2], "value"] = [3.0, 2.0]
    figure = proportional_symbols(world.spec(decimals=0, unit="pharmacies"), zones, context)
    assert list(world.texts(figure, "leader-value").values()) == ["3", "2"]
    alike = proportional_symbols(world.spec(decimals=0, unit="pharmacies"), zones.assign(value=1.0), context)
    assert not world.texts(alike, "leader")


def test_symbols_cover_a_bounded_share_of_the_ground(ground, context) -> None:
    figure = proportional_symbols(world.spec(decimals=0), world.zones(ground).assign(value=1000.0), context)
    found = {a.get_gid(): a.get_paths() for a in figure.artists if a.get_gid() in ("symbols", "zones")}
    inked = sum(np.pi * (path.get_extents().width / 2) ** 2 for path in found["symbols"])
    ground_area = sum(path.get_extents().width * path.get_extents().height for path in found["zones"])
    assert inked < 0.45 * ground_area


def test_typology_counts_each_kind_and_refuses_a_stranger(ground, context) -> None:
    kinds = ["isolées", "intermédiaires", "urbaines"]
    zones = world.typology_values(ground, kinds)
    figure = typology(world.spec(unit="type de commune"), zones, context, kinds)
    assert world.counts(figure) == [22, 21, 21]
    with pytest.raises(DiagnosticError, match="urbaines"):
        typology(world.spec(), zones, context, kinds[:2])


def test_words_of_the_page(ground, context) -> None:
    figure = choropleth(world.spec(reserve="À lire avec prudence."), world.zones(ground), context)
    foot = " ".join(world.texts(figure, "foot").values()).replace("\u00a0", " ")
    for words in ("Source : DREES", "Millésime : 2023", "Géographie : communes", "22 novembre 2026", "Licence Ouverte"):
        assert words in foot
    assert list(world.texts(figure, "reserve").values()) == ["Réserve : À lire avec prudence."]
    assert not any(
        gid.startswith("reserve") for gid in world.gids(choropleth(world.spec(), world.zones(ground), context))
    )


def test_alternative_text_names_the_extremes(ground) -> None:
    zones = world.zones(ground)
    text = alternative_text(world.spec(decimals=0), zones)
    top = zones.loc[zones["value"].idxmax(), "name"]
    assert top in text
    assert "64 communes sur 64" in text


def test_saved_files_are_the_same_twice_and_carry_their_own_letters(ground, context, tmp_path) -> None:
    zones = world.zones(ground)
    zones.loc[zones.index[:5], "status"] = "masked"
    first, second = (
        save(choropleth(world.spec(), zones, context.with_marks(*MARKS)), tmp_path / folder, "carte") for folder in "ab"
    )
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    with Image.open(first[0]) as image:
        assert image.size == (2338, 1653)
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
    svg = first[1].read_text(encoding="utf-8")
    ElementTree.fromstring(svg)
    assert "<text" not in svg
    assert "2026-" not in svg
    assert "<dc:title>L’accès aux soins" in svg
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["carte.png", "carte.svg"]


def test_a_cls_prepares_its_ground_once(ground) -> None:
    context = world.context(ground)
    choropleth(world.spec(), world.zones(ground), context)
    choropleth(world.spec(), world.zones(ground), context.with_marks(*MARKS))
    assert len(context.prepared) == 1


def test_an_island_without_neighbours_nor_towns_is_drawn(ground, context) -> None:
    alone = replace(
        context,
        **{name: getattr(context, name).iloc[:0] for name in ("epci", "departements", "neighbours", "towns")},
        prepared={},
    )
    zones = world.zones(ground)
    for figure in (
        choropleth(world.spec(), zones, alone),
        choropleth(world.spec(), zones, alone, population_dots=True),
        proportional_symbols(world.spec(), zones.assign(value=0.0), alone),
        proportional_symbols(world.spec(), zones.assign(value=np.nan), alone),
    ):
        assert {"zones", "perimeter", "scale-bar"} <= world.gids(figure)


def test_faulty_inputs_say_what_is_wrong(ground, context) -> None:
    zones = world.zones(ground)
    with pytest.raises(GeographyError, match="population"):
        choropleth(world.spec(), zones.drop(columns="population"), context)
    with pytest.raises(GeographyError, match="secret"):
        choropleth(world.spec(), zones.assign(status="secret"), context)
    with pytest.raises(GeographyError, match="to_crs"):
        choropleth(world.spec(), zones.to_crs(4326), context)
    with pytest.raises(GeographyError, match="aucune zone"):
        choropleth(world.spec(), zones.iloc[:0], context)
    with pytest.raises(GeographyError, match="projection"):
        replace(context, towns=context.towns.to_crs(4326))
    with pytest.raises(DiagnosticError, match="croissantes"):
        choropleth(world.spec(breaks=(4.0, 2.5)), zones, context)
    with pytest.raises(DiagnosticError, match="2 libellés pour 3 classes"):
        choropleth(world.spec(breaks=(2.5, 4.0), labels=("bas", "haut")), zones, context)


def test_concentrations_count_the_territory_and_draw_its_surroundings(ground, context) -> None:
    zones = world.zones(ground)
    kinds = np.resize(["high_high", "low_low", "not_significant", "high_low", "low_high"], len(zones)).astype(object)
    kinds[[2, 3]] = "not_tested"
    zones = zones.assign(
        value=kinds, standard=np.linspace(-4, 4, len(zones)), lag=0.5, inside=np.arange(len(zones)) < 9
    )
    zones.loc[zones.index[[2, 3]], "status"] = ["masked", "missing"]
    figure = concentrations(
        world.spec(unit="Valeur de chaque commune"),
        zones,
        context,
        heading="Indice de Moran : 0,42",
        notes=["Une note."],
    )
    own = kinds[:9]
    wanted = ["high_high", "low_low", "high_low", "low_high", "not_significant"]
    assert world.counts(figure) == [int(np.sum(own == kind)) for kind in wanted]
    assert world.counts(figure, "masked") == [1]
    assert world.counts(figure, "missing") == [1]
    assert world.texts(figure, "scatter-heading") == {"scatter-heading-0": "Indice de Moran : 0,42"}
    assert world.texts(figure, "note") == {"note-0-0": "Une note."}
    assert {"scatter-own", "scatter-around", "zones-masked"} <= world.gids(figure)
    assert world.overlapping(world.boxes(figure, r"label-|legend-class|note-|scatter-heading|scatter-x")) == []
