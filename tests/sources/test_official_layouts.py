"""Every official card reads a file in its producer's layout: values, secrets, zones, and what the card filters out."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from official_layouts import BY_DISTRICT, FILES, file_of

from diagnostics.catalog import load_catalog
from diagnostics.errors import SourceError
from diagnostics.sources.addresses import raw_name
from diagnostics.sources.contract import check
from diagnostics.sources.observe import observe, read_table

CATALOG = load_catalog()
OFFICIAL = [
    (source, distribution)
    for source in CATALOG.sources.values()
    for distribution in source.of_profile("official")
    if not distribution.address.startswith("package://")
]


def written(source, distribution, folder: Path) -> Path:
    path = folder / raw_name(source, distribution)
    content = file_of(source, distribution)
    path.write_bytes(content)
    if path.suffix == ".gz":
        import gzip  # noqa: PLC0415

        path.write_bytes(gzip.compress(content))
    return path


def observed(dataset: str, distribution_id: str, folder: Path):
    source = CATALOG.sources[dataset]
    distribution = next(d for d in source.distributions if d.id == distribution_id)
    frame = observe(source, distribution, written(source, distribution, folder))
    return frame.set_index(["variable", "geo_code", "period"])


@pytest.mark.parametrize(("source", "distribution"), OFFICIAL, ids=lambda card: card.id)
def test_every_official_card_reads_its_layout(source, distribution, tmp_path):
    path = written(source, distribution, tmp_path)
    if distribution.table is not None:
        assert len(read_table(source, distribution, path))
    if distribution.observations:
        frame = observe(source, distribution, path)
        asked = {name for block in distribution.observations for name in block.values}
        assert set(frame["variable"]) == asked
        assert (frame["status"] == "ok").any()
        # National control totals and line counts are for whole files: every other clause holds for these lines.
        lenient = distribution.model_copy(update={"rows": None})
        results = check(source.model_copy(update={"controls": []}), lenient, frame)
        assert [r.detail for r in results if not r.passed] == []


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(OFFICIAL), st.floats(0, 1), st.integers(0, 7), st.booleans())
def test_a_damaged_file_is_a_clear_error_or_a_table_of_the_card(tmp_path_factory, card, place, bit, cut):
    """Cut anywhere, or with one bit turned over: never another exception, never a table that breaks its contract."""
    source, distribution = card
    path = written(source, distribution, tmp_path_factory.mktemp("damaged"))
    content = bytearray(path.read_bytes())
    at = int(place * (len(content) - 1))
    content[at] ^= 1 << bit
    path.write_bytes(content[:at] if cut else content)
    with contextlib.suppress(SourceError):
        if distribution.table is not None:
            read_table(source, distribution, path)
        if distribution.observations:
            frame = observe(source, distribution, path)
            schema, *_ = check(source.model_copy(update={"controls": []}), distribution, frame)
            assert schema.passed, schema.detail


def test_documented_layouts_are_of_official_cards():
    assert set(FILES) <= {(source.id, distribution.id) for source, distribution in OFFICIAL}


def test_the_list_of_assumptions_names_every_card_nobody_has_seen():
    page = (Path(__file__).parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")
    _, _, unseen = page.partition("## Columns nobody of the project has seen")
    documented = {dataset for dataset, _ in FILES}
    for source, distribution in OFFICIAL:
        named = f"`{source.id}`" if source.id not in documented else f"`{source.id}/{distribution.id}`"
        assert (named in unseen) == ((source.id, distribution.id) not in FILES), named


def test_melodi_statuses_are_never_zeros(tmp_path):
    rows = observed("insee_filosofi_2023", "filosofi_cc", tmp_path)
    poverty = rows.loc["f23_poverty_rate"]["status"]
    assert poverty["54431", "2023"] == "secret"
    assert poverty["54099", "2023"] == "missing"
    assert poverty["245400676", "2023"] == "ok"
    assert rows.loc[("f23_poverty_rate", "54", "2023"), "value"] == 15.4
    moved = observed("insee_rp_menages", "menages_comp", tmp_path).loc[("mm_households", "54341", "2012")]
    assert moved["status"] == "missing"  # K: counted with the commune it joined


def test_paris_is_counted_once(tmp_path):
    rows = observed("insee_popref", "melodi_2023", tmp_path).loc["pmun"]
    assert sorted(code for code, _ in rows.index) == sorted(BY_DISTRICT)
    assert rows["value"].sum() == sum(BY_DISTRICT.values())


def test_apl_header_and_units_and_decimal_comma(tmp_path):
    rows = observed("drees_apl", "gp_2024", tmp_path).loc["apl_gp_index"]
    assert len(rows) == len(BY_DISTRICT)
    assert set(rows["value"]) == {3.25}


def test_total_rows_of_ameli_are_left_out(tmp_path):
    rows = observed("cnam_pathologies", "effectifs", tmp_path)
    assert set(rows.index.get_level_values("geo_code")) == {"54", "57", "FR"}
    sectors = observed("cnam_secteurs", "secteurs", tmp_path)
    assert sectors.loc[("specialists_sector2", "54", "2024"), "status"] == "secret"  # NS is not zero


def test_the_national_row_of_ameli_is_a_control(tmp_path):
    source = CATALOG.sources["cnam_pathologies"]
    distribution = source.distributions[0].model_copy(update={"rows": None})
    path = written(source, distribution, tmp_path)
    assert all(r.passed for r in check(source, distribution, observe(source, distribution, path)))
    path.write_bytes(path.read_bytes().replace(b"4471940", b"4471941"))
    failed = [r.name for r in check(source, distribution, observe(source, distribution, path)) if not r.passed]
    assert failed == ["control_patho_diabetes_2024"]


def test_the_published_mean_of_the_apl_is_a_control(tmp_path):
    """3.72 consultations in 2024; the small file of the tests says 3.25 everywhere."""
    source = CATALOG.sources["drees_apl"]
    distribution = next(d for d in source.distributions if d.id == "gp_2024").model_copy(update={"rows": None})
    frame = observe(source, distribution, written(source, distribution, tmp_path))
    failed = [r for r in check(source, distribution, frame) if not r.passed]
    assert [r.name for r in failed] == ["control_apl_gp_index_2024"]
    published = frame.assign(value=frame["value"].where(frame["variable"] != "apl_gp_index", 3.72))
    published.attrs = frame.attrs
    assert all(r.passed for r in check(source, distribution, published))


def test_a_correction_leaves_with_the_mistake(tmp_path):
    source = CATALOG.sources["irsn_radon"]
    distribution = next(d for d in source.distributions if d.id == "data_gouv")
    correction = {
        "distribution": "data_gouv", "where": "\"insee_com\" = '54341'", "column": "classe_potentiel",
        "expect": "3", "replace": "2", "because": "classe corrigée par le producteur, fichier non republié",
    }  # fmt: skip
    mended = source.model_validate({**source.model_dump(), "corrections": [correction]})
    path = written(source, distribution, tmp_path)
    rows = observe(mended, distribution, path).set_index("geo_code")["value"]
    assert (rows["54341"], rows["54099"]) == (2, 2)
    path.write_bytes(path.read_bytes().replace(b"54341;3", b"54341;2"))
    with pytest.raises(SourceError, match="retirer cette correction"):
        observe(mended, distribution, path)


def test_the_twin_that_turns_secrets_into_zeros_is_refused(tmp_path):
    source = CATALOG.sources["cnam_medecin_traitant"]
    distribution = source.distributions[0]
    frame = observe(source, distribution, written(source, distribution, tmp_path))
    assert frame.set_index("geo_code").loc["57", "status"] == "secret"
    block = distribution.observations[0]
    twin = block.model_copy(update={"values": {"ald_no_gp_rate": '"taux_patients_ald_sans_mt_integer"'}})
    results = check(source, distribution.model_copy(update={"observations": [twin]}), frame)
    assert "forbidden_columns" in {r.name for r in results if not r.passed}


def test_finess_codes_of_overseas_communes(tmp_path):
    rows = observed("ans_finess", "etablissements", tmp_path).loc["finess_ehpad"]["value"]
    assert rows.to_dict() == {("54395", "2026"): 2, ("54431", "2026"): 2, ("75056", "2026"): 2, ("97105", "2026"): 4}


def test_radon_codes_recover_their_zeros(tmp_path):
    rows = observed("irsn_radon", "data_gouv", tmp_path).loc["radon_class"]["value"]
    assert rows["01001", "2018"] == 1
    assert rows["54341", "2018"] == 3


def test_rounded_counts_of_the_caf_keep_their_secrets(tmp_path):
    rows = observed("caf_communes", "communes", tmp_path)
    assert rows.loc[("caf_com_rsa", "54099", "2024"), "status"] == "secret"
    assert rows.loc[("caf_com_rsa", "54395", "2024"), "value"] % 5 == 0


@pytest.mark.parametrize(
    ("dataset", "distribution", "row", "status"),
    [
        ("lovac", "communes", ("lovac_vacant_2y", "54099", "2025"), "secret"),  # s
        ("ssmsi_communes", "communes", ("domestic_violence", "54099", "2025"), "secret"),  # NA, with an imputed value
        ("cnam_medecin_traitant", "annuelle", ("ald_no_gp_rate", "57", "2024"), "secret"),  # NC
        ("cnam_secteurs", "secteurs", ("specialists_sector2", "54", "2024"), "secret"),  # NS
        ("caf_communes", "communes", ("caf_com_rsa", "54099", "2024"), "secret"),  # blank, others rounded to 5
        ("insee_filosofi_2023", "filosofi_cc", ("f23_poverty_rate", "54431", "2023"), "secret"),  # CONF_STATUS C
        ("insee_filosofi_2023", "filosofi_cc", ("f23_poverty_rate", "54099", "2023"), "missing"),  # OBS_STATUS O
        ("insee_rp_menages", "menages_comp", ("mm_households", "54341", "2012"), "missing"),  # OBS_STATUS K
    ],
)
def test_a_marker_is_never_a_figure(dataset, distribution, row, status, tmp_path):
    found = observed(dataset, distribution, tmp_path).loc[row]
    assert found["status"] == status
    assert found["value"] != found["value"]  # NaN


def test_schools_without_an_index_are_not_counted_as_zero(tmp_path):
    rows = observed("men_ips_ecoles", "ecoles", tmp_path)["value"]
    assert (rows["ips_sum", "54395", "2024-2025"], rows["ips_schools", "54395", "2024-2025"]) == (200, 2)


def test_of_the_lines_of_odisse_only_the_total_of_ages_and_sexes_counts(tmp_path):
    rows = observed("spf_gestes_auto_infliges", "departements", tmp_path)
    assert rows["value"].to_dict() == {("odisse_selfharm", d, "2024"): 148.7 for d in ("54", "57")}


def test_corsica_and_the_totals_of_the_drees_are_left_out(tmp_path):
    rows = observed("drees_aide_sociale", "classeur_2020", tmp_path)
    assert sorted(code for _, code, _ in rows.index) == ["54", "57"]
