"""Counts what the campaign tries, so that nobody takes an empty one for a passed one."""

from collections import Counter

import hypothesis
import pytest

# The same cases in every run, so that a failure is one that can be run again. A new search is
# `make test-campaign PYTEST_FLAGS=--hypothesis-profile=wander`.
_COMMON = {"deadline": None, "print_blob": True}
hypothesis.settings.register_profile("standing", derandomize=True, database=None, **_COMMON)
hypothesis.settings.register_profile("wander", **_COMMON)
hypothesis.settings.load_profile("standing")

_TRIED: Counter[str] = Counter()


def pytest_addoption(parser):
    parser.addoption("--least-cases", type=int, default=0, help="fail if fewer were tried")


def pytest_collection_modifyitems(items):
    for item in items:
        if "campaign" in item.path.parts:
            item.add_marker("campaign")
    # The longest goes first: where two processes share the work, none has to wait for it.
    items.sort(key=lambda item: item.path.name != "test_soak.py")


@pytest.fixture(scope="session")
def tried():
    """Counts cases: `tried("damaged JPEGs")`, or `tried("damaged JPEGs", 20)`."""

    def count(kind, cases=1):
        _TRIED[kind] += cases

    return count


def pytest_terminal_summary(terminalreporter):
    if not _TRIED:
        return
    terminalreporter.section("campaign")
    for kind, cases in sorted(_TRIED.items()):
        terminalreporter.write_line(f"{cases:6,d} {kind}")
    terminalreporter.write_line(f"{sum(_TRIED.values()):6,d} cases in all")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Adds what another process has tried, where several share the work."""
    _TRIED.update(getattr(node, "workeroutput", {}).get("tried", {}))


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tried"] = dict(_TRIED)
        return
    least = session.config.getoption("least_cases", 0)
    if sum(_TRIED.values()) < least and session.exitstatus == 0:
        print(f"\nonly {sum(_TRIED.values())} cases were tried, fewer than {least}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
