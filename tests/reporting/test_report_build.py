"""The report model: what is compared, what is said, what is not known."""

import pandas as pd
import pytest
from report_frames import membership_table, source_use, value_row, values_table

from diagnostics.errors import GeographyError
from diagnostics.reporting import Vigilance, narrative, zone_keys
from diagnostics.reporting.figures import dataset_ids
from diagnostics.reporting.html import render_html
from diagnostics.statistics.vulnerability import grid_words

HOSTILE = '<script>alert("x")</script>'
NARROW, NO_BREAK = "\u202f", "\u00a0"


def block_of(report, indicator_id):
    return next(block for block in report.blocks if block.indicator_id == indicator_id)


def row_of(rows, name):
    return next(row for row in rows if row.figure.zone.name == name)


def test_the_perimeter_is_told_in_facts(report):
    facts = report.perimeter
    assert report.title == "Diagnostic territorial de santé du PETR Val de Test"
    assert (facts.commune_count, facts.population, facts.area_km2) == (3, 12345, 200.0)
    assert [zone.code for zone in facts.epci] == ["200000011", "200000012"]
    assert [zone.code for zone in facts.departements] == ["54", "57"]


def test_every_departement_covered_is_a_benchmark_of_its_own(report):
    names = [row.figure.zone.name for row in block_of(report, "unemployment_rate_rp").benchmarks]
    assert names == ["Meurthe-et-Moselle", "Moselle", "Grand Est", "France"]


def test_comparisons_follow_the_interval(report):
    benchmarks = block_of(report, "unemployment_rate_rp").benchmarks
    assert (row_of(benchmarks, "Grand Est").verdict, row_of(benchmarks, "Grand Est").words) == (
        "worse", "plus défavorable que la région",
    )  # fmt: skip
    assert row_of(benchmarks, "Meurthe-et-Moselle").words == "comparable à Meurthe-et-Moselle"
    assert row_of(benchmarks, "Moselle").words == "plus favorable que la Moselle"


def test_without_interval_only_the_gap_is_said(report):
    benchmarks = block_of(report, "living_alone").benchmarks
    assert row_of(benchmarks, "Grand Est").words == f"2,2{NO_BREAK}points de plus que la région (sans test)"
    assert row_of(benchmarks, "Grand Est").verdict == "not_compared"


def test_another_vintage_is_not_compared(report):
    france = row_of(block_of(report, "living_alone").benchmarks, "France")
    assert france.words == "millésimes différents, non comparés"
    assert france.notes == ("millésime 2021",)


def test_counts_are_never_compared_with_larger_zones(report):
    assert all(not row.words for row in block_of(report, "pop_municipal").benchmarks)


def test_a_benchmark_that_is_not_whole_says_so(report):
    region = row_of(block_of(report, "unemployment_rate_rp").benchmarks, "Grand Est")
    assert region.notes == (f"couvre 99,9{NARROW}% de la population",)


def test_a_published_median_lists_the_members_and_never_one_figure(report):
    block = block_of(report, "income_median_uc")
    assert (block.kind, block.own) == ("members", None)
    assert [row.figure.value for row in block.members] == [21340.0, 24110.0]
    assert "ne se calcule pas pour l’ensemble du territoire" in block.reading


def test_a_context_value_stays_context(report):
    block = block_of(report, "apa_rate")
    assert (block.kind, block.own, block.members) == ("context", None, ())
    assert block.reading.startswith("Donnée de contexte")


def test_an_old_figure_is_flagged(report):
    assert block_of(report, "pop_density").notes == (
        "Tous ces chiffres : repère calculé antérieurement (millésime 2021).",
    )


def test_what_is_true_of_some_figures_only_stays_with_them(report):
    members = block_of(report, "unemployment_rate_rp").members
    assert row_of(members, "CC Deux").notes == ("valeur fragile (petits effectifs)",)
    assert row_of(members, HOSTILE).notes == ()


def test_a_masked_value_leaves_the_model(report):
    masked = [figure for figure in report.figures if figure.reliability == "masked"]
    assert masked
    assert all(figure.value is None and figure.numerator is None for figure in masked)


@pytest.mark.parametrize(
    ("label", "reason", "partial"),
    [
        ("Refus de soins", "Donnée fermée, détenue par la CPAM.", False),
        ("Évènements rares", "Masqué", False),
        ("Indicateur retenu", "41,2", False),
        (
            "Accès aux généralistes",
            "Absent des données embarquées ; se calcule avec : données du dossier miroir",
            False,
        ),
        ("Indicateur absent", "Aucune valeur publiée", False),
        ("Logements anciens", "couvre 97,5", True),
        ("Niveau de vie médian", "Publié pour chaque EPCI seulement", True),
        ("Bénéficiaires de l’APA", "seuls des repères sont publiés", True),
    ],
)
def test_what_is_not_known_has_its_reason(report, label, reason, partial):
    entry = next(item for item in report.unknown if item.label == label)
    assert reason in entry.reason
    assert entry.partial is partial


def test_each_axis_opens_with_its_most_unfavourable_gap(report):
    access, autonomy, mental = report.sections
    assert access.finding.startswith("Taux de chômage : 14,")
    assert "dépasse ce que le hasard explique" in access.finding
    assert access.finding_verdict == "worse"
    assert "n’est pas testé" in autonomy.finding
    assert "n’alimente encore cet axe" in mental.finding


def test_fragile_values_are_never_the_finding(build):
    rows = [
        value_row("unemployment_rate_rp", "cls", "val-test", 90.0, ci_low=50.0, ci_high=99.0, reliability="unstable"),
        value_row("unemployment_rate_rp", "region", "44", 12.0),
        value_row("living_alone", "cls", "val-test", 25.0),
        value_row("living_alone", "region", "44", 20.0),
    ]
    built = build(values_table(*rows))
    assert built.sections[0].finding.startswith("Personnes vivant seules")


def test_a_small_gap_without_test_is_not_called_unfavourable(build):
    rows = [
        value_row("living_alone", "cls", "val-test", 20.9),
        value_row("living_alone", "region", "44", 20.0),
    ]
    (finding, *_) = (section.finding for section in build(values_table(*rows)).sections)
    assert finding.startswith("Le seul indicateur comparé n’est pas nettement plus défavorable que la région")


def test_an_indicator_of_two_axes_is_detailed_once(report):
    autonomy = report.sections[1]
    line = next(line for line in autonomy.overview if line.block.indicator_id == "living_alone")
    assert line.section_title == "Accès aux soins"
    assert "living_alone" not in [block.indicator_id for block in autonomy.blocks]


def test_general_indicators_no_axis_claims_make_the_portrait(report):
    assert [block.indicator_id for block in report.portrait.blocks] == ["pop_municipal", "pop_density"]


def test_maps_are_numbered_and_credited(report):
    figure = block_of(report, "unemployment_rate_rp").map
    assert figure.number == 1
    assert "Source : Insee, Fichier insee_rp (2022)." in figure.caption


def test_a_commune_is_compared_with_its_intercommunality_and_seen_by_iris(commune_report):
    block = block_of(commune_report, "unemployment_rate_rp")
    assert commune_report.title == "Diagnostic territorial de santé d’Échirolles"
    assert [row.figure.zone.type for row in block.benchmarks] == ["epci", "departement", "france"]
    assert block.benchmarks[0].words == "comparable à l’intercommunalité"
    (matrix,) = commune_report.iris
    assert [zone.name for zone, _ in matrix.rows] == ["Centre", "IRIS 0102", "Échirolles"]
    assert matrix.rows[1][1][0].value is None


def test_a_figure_published_for_the_very_same_zone_is_the_territory_s_own(commune_report):
    assert block_of(commune_report, "income_median_uc").own.figure.value == 19500.0


def test_the_latest_vintage_is_shown_and_compared_with_its_own(build):
    rows = [
        value_row("living_alone", zone_type, code, value, period=period)
        for zone_type, code in (("cls", "val-test"), ("region", "44"))
        for value, period in ((30.0, "2018-2022"), (20.0, "2023"))
    ]
    block = block_of(build(values_table(*rows)), "living_alone")
    assert (block.period, block.own.figure.value, block.benchmarks[0].figure.value) == ("2023", 20.0, 20.0)


def test_points_of_vigilance_go_to_their_axis(build, petr_values):
    point = Vigilance("a2", "L’isolement des aînés s’aggrave.", "Petits effectifs.")
    built = build(petr_values, points_of_vigilance=[point])
    assert [section.vigilance for section in built.sections] == [(), (point,), ()]


def test_the_report_opens_with_the_points_of_the_whole_cls_each_indicator_once(build, petr_values):
    first = Vigilance("a2", "Le premier.", indicator_id="x", overall=1)
    again = Vigilance("a1", "Le premier.", indicator_id="x", overall=1)
    second = Vigilance("a1", "Le second.", indicator_id="y", overall=2)
    built = build(petr_values, points_of_vigilance=[second, first, again])
    assert [point.sentence for point in built.vigilance] == ["Le premier.", "Le second."]
    assert build(petr_values, points_of_vigilance=[]).vigilance == ()
    page = render_html(built)
    opening = page[page.index('id="essentiel"') :]
    assert opening.index("Le premier.") < opening.index("Le second.") < opening.index('class="findings"')
    assert 'href="#regle-vigilance"' in opening
    assert "Aucun des indicateurs connus" in render_html(build(petr_values, points_of_vigilance=[]))


def test_sources_are_numbered_by_first_mention_with_their_files(build, petr_values):
    uses = [source_use("cog"), source_use("insee_rp", vintage="2021"), source_use("insee_rp")]
    notes = build(petr_values, sources=uses).sources
    assert [(note.number, note.dataset_id, len(note.files)) for note in notes] == [(1, "insee_rp", 2), (2, "cog", 1)]


def test_a_dataset_that_was_not_read_keeps_its_card(build, petr_values):
    (note,) = build(petr_values, sources=[]).sources
    assert (note.title, note.licence, note.files) == ("Recensement de la population", "Licence Ouverte 2.0", ())


def test_an_iris_without_name_is_told_by_its_last_digits(commune_report):
    names = {zone.code: zone.name for zone in commune_report.zones if zone.type == "iris"}
    assert names == {"380010101": "Centre", "380010102": "IRIS 0102"}


def test_order_of_rows_does_not_matter(build, petr_values, zones, membership):
    first = build(petr_values)
    shuffled = {"zones": zones.sample(frac=1, random_state=4), "membership": membership.sample(frac=1, random_state=5)}
    mixed = build(petr_values.sample(frac=1, random_state=3), **shuffled)
    assert first == mixed


def test_only_the_zones_it_names_are_read(build, petr, petr_values, zones, membership):
    keys = zone_keys(petr, zones, membership)
    elsewhere = values_table(value_row("living_alone", "commune", "38001", 99.0))
    read = [key in keys for key in zip(petr_values["zone_type"], petr_values["zone_code"], strict=True)]
    assert ("commune", "38001") not in keys
    assert build(petr_values[read]) == build(petr_values) == build(pd.concat([petr_values, elsewhere]))


def test_a_territory_without_communes_is_refused(build, petr_values):
    with pytest.raises(GeographyError, match="PETR Val de Test"):
        build(petr_values, membership=membership_table({"54001": {"epci": "1"}}))


@pytest.mark.parametrize("cell", ["a_1, b2", "a_1;b2", ["a_1", "b2"], "a_1 b2 a_1"])
def test_dataset_identifiers_are_read_from_any_list(cell):
    assert dataset_ids(cell) == ("a_1", "b2")


# --- what the observatory reads out ----------------------------------------------------------------------------------


def shares(name, zones, period="2022", **other):
    """Rows of a share of 1,000 people: `zones` is (type, code) -> count."""
    return [
        value_row(name, *zone, count / 10, numerator=count, denominator=1000.0, period=period, **other)
        for zone, count in zones.items()
    ]


def test_the_word_is_that_of_the_adjusted_test_everywhere(build):
    """An interval that leaves the region out is not enough when the test of the counts says nothing."""
    rows = shares("unemployment_rate_rp", {("cls", "val-test"): 210.0}, ci_low=20.5, ci_high=21.5, comparison="worse")
    rows += shares("unemployment_rate_rp", {("region", "44"): 200.0})
    built = build(values_table(*rows))
    assert row_of(block_of(built, "unemployment_rate_rp").benchmarks, "Grand Est").words == "comparable à la région"
    (line,) = built.sections[0].overview
    assert (line.verdict, line.words) == ("similar", "comparable")
    assert "hasard" not in built.sections[0].finding
    (summary,) = built.dashboard
    assert summary.verdicts[2] == "similar"


def test_a_trend_is_told_with_its_test_and_hidden_with_one_vintage(build):
    own = ("cls", "val-test")
    rows = shares("living_alone", {own: 300.0}) + shares("living_alone", {own: 200.0}, period="2016")
    trend = block_of(build(values_table(*rows)), "living_alone").trend
    assert (trend.arrow, trend.words, trend.years, trend.course) == ("↑", "défavorable", "2016-2022", "worsening")
    assert trend.sentence == (
        f"Évolution : de 20,0{NARROW}% en 2016 à 30,0{NARROW}% en 2022 ; une hausse défavorable, que le hasard "
        "n’explique pas (test du khi-deux de tendance)."
    )
    near = shares("living_alone", {own: 300.0}) + shares("living_alone", {own: 200.0}, period="2021")
    untested = block_of(build(values_table(*near)), "living_alone").trend
    assert (untested.words, untested.course) == ("en hausse, sans test", "not_tested")
    assert block_of(build(values_table(*rows[:1])), "living_alone").trend is None
    page = render_html(build(values_table(*rows)))
    assert page.count('<th scope="col" class="reading">Évolution</th>') == 2
    assert '<th scope="col" class="reading">Évolution</th>' not in render_html(build(values_table(*rows[:1])))


def test_a_rank_is_told_with_the_places_its_interval_allows(build):
    peers = {("epci", f"{code:09d}"): 10.0 * code for code in range(1, 40)}
    rows = shares("unemployment_rate_rp", {("cls", "val-test"): 205.0}, ci_low=18.2, ci_high=23.3)
    rows += shares("unemployment_rate_rp", peers)
    said = block_of(build(values_table(*rows)), "unemployment_rate_rp").rank
    assert said == ("Rang : 21e sur 40 intercommunalités (entre la 19e et la 24e place, compte tenu de l’intervalle).")


def test_inequalities_inside_are_drawn_or_said_unknown(build, commune_report, report):
    communes = [f"54{n:03d}" for n in range(1, 11)]
    assert commune_report.inequality.finding.startswith("Ce territoire est fait d’une seule commune")
    assert report.inequality.finding.startswith("Non connues")
    assert report.inequality.gradients == ()
    where = {code: {"epci": "200000011", "departement": "54", "cls": "val-test", "region": "44"} for code in communes}
    rows = shares("living_alone", {("cls", "val-test"): 2500.0})
    rows[0] |= {"denominator": 10_000.0, "value": 25.0}
    rows += shares("living_alone", {("commune", code): 150.0 + 20 * n for n, code in enumerate(communes)})
    classes = pd.Series([1, 1, 2, 2, 3, 3, 4, 4, 5, 5], index=communes)
    built = build(values_table(*rows), membership=membership_table(where), classes=classes)
    (gradient,) = built.inequality.gradients
    assert gradient.unequal
    assert gradient.unfavourable
    assert gradient.communes == 10
    assert built.inequality.finding.startswith(f"Sur 1{NO_BREAK}indicateur, 1 est nettement plus défavorable")
    assert "À l’intérieur du territoire" in block_of(built, "living_alone").inside
    page = render_html(built)
    assert built.inequality.drawing in page
    assert "aux dépens des plus défavorisées" in page


def test_similar_territories_are_a_benchmark_and_are_listed(build, catalog):
    """Three traits are asked for: the small catalogue of this house has two, and nothing is then alike."""
    assert build(values_table(value_row("pop_municipal", "cls", "val-test", 10.0))).similar is None


def test_other_thresholds_are_shown_when_the_value_tells_them(build):
    method = "derived; seuils : 2,5; " + grid_words(
        pd.DataFrame({"access": [2.0, 2.5], "deprivation": [4, 4], "ageing": 9.9, "value": [1.0, 3.5]})
    )
    built = build(values_table(value_row("partial", "cls", "val-test", 3.5, method=method)))
    block = block_of(built, "partial")
    assert block.sensitivity.shares == ((1.0,), (3.5,))
    assert block.computed == "Seuils : 2,5."
    assert "Effet des seuils" in render_html(built)


def test_the_dashboard_has_every_reading_of_a_figure(report):
    (line,) = [x for x in report.dashboard if x.label == "Taux de chômage" and x.zone.type == "cls"]
    assert line.verdicts == ("similar", "better", "worse", "worse")
    assert (line.value, line.trend, line.communes) == (14.25, None, None)


def test_the_rule_of_vigilance_is_in_words(report):
    rules = dict(report.methods)
    assert "Trois points" in rules["Points de vigilance"]
    assert "Benjamini-Hochberg" in rules["Comparaison à un repère"]
    assert 'id="regle-vigilance"' in render_html(report)


def test_a_departement_that_is_a_region_by_itself_is_shown_once(commune_report):
    (both,) = [zone for zone in commune_report.key_columns if zone.is_region]
    assert (both.type, both.code, narrative.kind(both)) == ("departement", "38", "département et région")
    assert commune_report.main == both
    assert not [zone for zone in commune_report.zones if zone.type == "region"]


def test_why_an_indicator_is_absent_is_said_in_the_first_axis_that_awaits_it(build, petr, petr_values):
    axes = [petr.axes[0], petr.axes[1], petr.axes[2].model_copy(update={"indicators": ["closed"]})]
    first, last = build(petr_values, territory=petr.model_copy(update={"axes": axes})).sections[1:]
    assert "détenue par la CPAM" in next(u.reason for u in first.unknown if u.label == "Refus de soins")
    assert [u.reason for u in last.unknown] == ["Dit plus haut, dans « Autonomie »."]


@pytest.mark.parametrize(
    "method", ["non calculé, il manque : table de mortalité", "ratio; refusé, valeur impossible : 104,3 (24 sur 23)"]
)
def test_a_figure_that_could_not_be_made_says_what_its_method_says(build, petr_values, method):
    rows = petr_values[petr_values["indicator_id"] != "withheld"]
    own = value_row("withheld", "cls", "val-test", None, reliability="incomplete", method=method)
    report = build(pd.concat([rows, values_table(own)], ignore_index=True))
    reason = next(u.reason for u in report.unknown if u.label == "Indicateur retenu")
    assert reason.lower().rstrip(".") == method.split("; ")[-1]
