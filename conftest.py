"""Examples in docstrings run in an empty folder, so that what they write goes there."""

import pytest


@pytest.fixture(autouse=True)
def _examples_write_elsewhere(request, monkeypatch, tmp_path_factory):
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(tmp_path_factory.mktemp("example"))
