"""Where a Chromium is, for tests that drive one; MNST_CHROMIUM names one not on the path."""

import os
import shutil

import pytest

CHROMIUM = os.environ.get("MNST_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
NEEDED = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium: apt-get install chromium"
)
