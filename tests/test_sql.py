"""Questions to tables: what they may name, how moments and text come back, without a warning of pandas."""

import warnings

import pandas as pd

from diagnostics.sql import query


def test_a_question_names_files_frames_and_parameters(tmp_path):
    path = tmp_path / "values.parquet"
    moment = pd.Timestamp("2026-11-22 10:00", tz="Europe/Paris")
    pd.DataFrame({"code": ["01", "2A", "974"], "value": [1.0, None, 3.0], "at": moment}).to_parquet(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = query(
            "select * from read_parquet($path) semi join wanted using (code) where code <> $but order by code",
            {"path": str(path), "but": "01"},
            wanted=pd.DataFrame({"code": ["01", "2A", "974"]}),
        )
    assert found["code"].tolist() == ["2A", "974"]
    assert found["value"].isna().tolist() == [True, False]
    assert str(found["at"].dt.tz) == "UTC"
    assert found["at"].eq(moment).all()
