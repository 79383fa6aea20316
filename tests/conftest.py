"""A browser for all tests of pages; and in CI a skip that nobody foresaw is a failure."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

# Each worker of xdist has a core. Threads of the math library that wait for another's core burn it,
# in the processes that tests start, too: with two of them a training takes thrice as long.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")

# A test that stops running guards nothing.
# What a machine may lack for good reasons; all else is installed by `make test`.
EXPECTED_SKIPS = (
    "no corpora:",
    "no clips:",
    "no browser:",
    "this process may not mount a tmpfs",
    "no interpreter of Python",
    "no polars:",
    "no transformers:",
    "no compiled core:",
    "no distributed:",
    "no published tokenizer:",
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


@pytest.fixture
def browse():
    """Opens a page in a browser without a network; whatever its console says is an error."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no browser: playwright is not installed"
    )
    if CHROMIUM is None:
        pytest.skip("no browser: there is no chromium on this machine")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        said: list[str] = []

        def open_page(path: Path, **options):
            page = browser.new_page(accept_downloads=True, **options)
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda request: said.append(request.url))
            page.goto(path.as_uri())
            said[:] = [line for line in said if not line.startswith(("file:", "data:", "blob:"))]
            return page

        yield open_page
        browser.close()
        said[:] = [line for line in said if not line.startswith(("file:", "data:", "blob:"))]
        assert said == []
