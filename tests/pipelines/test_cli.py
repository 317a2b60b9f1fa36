"""The command line as a user meets it: words in French, one clear message per mistake, exit codes for scripts."""

import re

import pytest

from diagnostics.errors import CatalogError
from pipelines.territories import read_codes


def test_help_speaks_french_and_names_every_command(diagnostic):
    answer = diagnostic("--help")
    assert answer.returncode == 0
    for command in ("run", "territories", "indicators", "sources", "new-territory", "snapshot"):
        assert command in answer.stdout
    assert "Contrat Local de Santé" in answer.stdout


def test_the_seven_territories_are_listed_with_their_sizes(diagnostic):
    answer = diagnostic("territories")
    lines = {line.split()[0]: line for line in answer.stdout.splitlines() if line}
    sizes = {
        "val-de-lorraine": "133", "coeur-de-lorraine": "123", "thionville": "13", "metz": "46", "echirolles": "1",
        "pont-de-claix": "1", "saint-egreve": "1",
    }  # fmt: skip
    for territory, size in sizes.items():
        assert f" {size} " in lines[territory]


def test_indicators_say_which_profile_knows_them(diagnostic):
    answer = diagnostic("indicators")
    line = next(line for line in answer.stdout.splitlines() if line.startswith("apl_gp "))
    assert line.split()[-3:-1] == ["–", "oui"]


def test_an_unknown_territory_is_one_message_and_a_code(diagnostic):
    answer = diagnostic("run", "val-de-loraine")
    assert answer.returncode == 2
    assert "Vouliez-vous dire « val-de-lorraine »" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_no_territory_at_all_says_what_to_give(diagnostic):
    answer = diagnostic("run")
    assert answer.returncode == 2
    assert "--all" in answer.stderr


@pytest.mark.parametrize("mirror", [None, "absent"])
def test_a_missing_mirror_says_how_to_name_it(diagnostic, tmp_path, mirror):
    more = {} if mirror is None else {"DIAGNOSTIC_MIRROR": str(tmp_path / mirror)}
    answer = diagnostic("run", "metz", "--profile", "mirror", **more)
    assert answer.returncode == 3
    assert "DIAGNOSTIC_MIRROR" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_unknown_profile_is_refused_with_the_choices(diagnostic):
    answer = diagnostic("run", "metz", "--profile", "miroir")
    assert answer.returncode == 2
    assert "mirror" in answer.stderr


def test_a_new_territory_needs_one_kind_of_perimeter(diagnostic, tmp_path):
    both = diagnostic(
        "new-territory", "--id", "essai", "--name", "Essai", "--epci", "200046977", "--communes", str(tmp_path / "x")
    )
    assert both.returncode == 2
    assert "--epci" in both.stderr


NEW = ("new-territory", "--epci", "200046977")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "--foo"), "option inconnue : --foo"),
        (("run", "--prof", "mirror"), "Options proches : --profile"),
        (("diff", "2026-01-01"), "il manque l’argument DATE2"),
        (("new-territory",), "il manque l’option --id"),
        (("new-territory", "--id"), "lui donner une valeur"),
        (("new-territory", "--id", "essai", "--name", "Essai"), "De quelles communes"),
        ((*NEW, "--id", "Mon CLS", "--name", "Essai"), "Identifiant « Mon CLS »"),
        ((*NEW, "--id", "essai", "--name", " "), "est vide"),
        (("verify", "metzz"), "Vouliez-vous dire « metz »"),
        (("zzz",), "Commande inconnue"),
    ],
)
def test_a_wrong_word_is_one_french_sentence(diagnostic, words, said):
    answer = diagnostic(*words)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
    assert not re.search(r"Usage|Error|Missing|Try|No such", answer.stderr)


def test_a_list_of_communes_saved_by_an_old_spreadsheet_is_refused_in_words(tmp_path):
    for encoding in ("latin-1", "utf-16"):
        path = tmp_path / f"{encoding}.txt"
        path.write_bytes("54001  # Abaucourt, à vérifier\n".encode(encoding))
        with pytest.raises(CatalogError, match="UTF-8"):
            read_codes(path)
