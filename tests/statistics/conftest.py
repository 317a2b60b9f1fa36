"""Where the real files are; a test that needs them is skipped, with the reason, where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("house", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.fixture(scope="session")
def mirror() -> Path:
    root = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("DIAGNOSTIC_MIRROR", root.parent / "shared" / "open-data"))
    if not (folder / "MANIFEST.csv").exists():
        pytest.skip("miroir de données ouvertes absent (DIAGNOSTIC_MIRROR ou ../shared/open-data)")
    return folder
