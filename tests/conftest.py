"""In CI a skip that nobody foresaw is a failure: a test that stops running guards nothing."""

from __future__ import annotations

import os

import pytest

# What a machine may lack for good reasons; all else is installed by `make test`.
EXPECTED_SKIPS = (
    "no corpora:",
    "no clips:",
    "no browser:",
    "this process may not mount a tmpfs",
    "no interpreter of Python",
    "no polars:",
    "no transformers:",
)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run where a test was skipped for another reason."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if "CI" not in os.environ or reporter is None:
        return
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not reason.startswith(EXPECTED_SKIPS):
            reporter.write_line(f"UNEXPECTED SKIP {report.nodeid}: {reason}", red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
