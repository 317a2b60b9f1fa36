"""The arrows of the house: pipelines -> assets -> diagnostics -> catalog, and none runs back."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOUSE = ("pipelines", "assets", "diagnostics")
PARTS = ("catalog", "sources", "geography", "statistics", "indicators", "cartography", "reporting")


def modules(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path):
    """Every dotted name that a module imports, wherever it does."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module)
    return names


def reaches(path, *prefixes):
    return {name for name in imported(path) for prefix in prefixes if name == prefix or name.startswith(prefix + ".")}


@pytest.mark.parametrize("path", modules("diagnostics"), ids=lambda p: str(p.relative_to(ROOT)))
def test_diagnostics_knows_neither_dagster_nor_the_floors_above(path):
    assert not reaches(path, "dagster", "assets", "pipelines")


@pytest.mark.parametrize("path", modules("assets"), ids=lambda p: str(p.relative_to(ROOT)))
def test_assets_do_not_know_pipelines(path):
    assert not reaches(path, "pipelines")


@pytest.mark.parametrize("path", modules("diagnostics/statistics"), ids=lambda p: p.name)
def test_statistics_import_nothing_of_the_house_but_errors(path):
    house = reaches(path, *HOUSE)
    assert {n for n in house if not n.startswith(("diagnostics.statistics", "diagnostics.errors"))} == set()


@pytest.mark.parametrize("part", ["indicators", "cartography", "reporting", "geography", "statistics"])
def test_only_sources_fetch(part):
    for path in modules(f"diagnostics/{part}"):
        assert not reaches(path, "httpx", "diagnostics.sources.fetch", "urllib.request"), path


@pytest.mark.parametrize("path", modules("diagnostics/sources"), ids=lambda p: str(p.relative_to(ROOT)))
def test_sources_never_compute_an_indicator(path):
    assert not reaches(path, *(f"diagnostics.{part}" for part in ("indicators", "cartography", "reporting")))


def test_every_part_of_the_house_stands():
    for part in PARTS:
        assert (ROOT / "diagnostics" / part / "__init__.py").is_file(), part
    for folder in ("sources", "indicators", "territories"):
        assert list((ROOT / "catalog" / folder).glob("*.yaml")), folder


def test_no_file_names_a_package_registry_or_a_path_of_one_machine():
    """Addresses of registries come from the reader's own configuration, never from us."""
    hosts = ["py" + "pi.org", "python" + "hosted.org", "registry." + "npmjs", "deb." + "debian.org"]
    for path in ROOT.rglob("*"):
        hidden = any(part.startswith(".") and part != ".ci" for part in path.relative_to(ROOT).parts)
        if (
            hidden
            or "data" in path.relative_to(ROOT).parts[:1]
            or path.suffix not in {".py", ".md", ".toml", ".txt", ".yaml"}
        ):
            continue
        text = path.read_text(encoding="utf-8")
        assert not [host for host in hosts if host in text], path
