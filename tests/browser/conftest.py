"""A real JupyterLab and a real Chromium for the tests in this folder, started once."""

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest

from parts import browser
from parts.files import ROOT

# A camera that sees a green field with a moving clock.
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == ROOT / "tests" / "browser":
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium():
    """A Chromium that Playwright drives; without one the tests are skipped, and say what they need."""
    if browser.chromium_path() is None:
        pytest.skip(f"{browser.NEEDED}; `make test-browser` then runs these tests")
    with browser.chromium(*CAMERA) as opened:
        yield opened


@pytest.fixture
def new_page(chromium):
    """A function that opens an empty page of the given size; what goes wrong in its scripts fails the test."""
    contexts = []
    errors = []

    def open_page(width=1400, height=1300, **options):
        contexts.append(chromium.new_context(viewport={"width": width, "height": height}, **options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield open_page
    for context in contexts:
        context.close()
    ours = [error for error in errors if "ResizeObserver" not in error]  # a notice that every JupyterLab gives
    assert ours == []


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.fixture(scope="session")
def jupyter_lab(tmp_path_factory):
    """A running JupyterLab: a function of a name and cells' sources that gives the address of a notebook of them."""
    folder = tmp_path_factory.mktemp("lab")
    port = free_port()
    token = secrets.token_hex(8)
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}", "--LabApp.news_url="]
    places = {f"JUPYTER_{kind}_DIR": str(folder / f".{kind.lower()}") for kind in ("CONFIG", "RUNTIME")}
    places["JUPYTERLAB_SETTINGS_DIR"] = str(folder / ".settings")
    places["PYTHONPATH"] = str(ROOT)
    (folder / ".settings").mkdir()
    with open(folder / "log.txt", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | places, cwd=folder)

    def notebook(name, sources):
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        page = nbformat.v4.new_notebook(cells=cells)
        page.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(page, folder / f"{name}.ipynb")
        return f"{address}/lab/workspaces/{name}/tree/{name}.ipynb?token={token}&reset"

    notebook.settings = folder / ".settings"
    try:
        wait_for(f"{address}/api/status?token={token}", server, folder / "log.txt")
        yield notebook
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address, server, log, seconds=90):
    """Wait until a server answers; what it logged is in the error where it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            return urllib.request.urlopen(address, timeout=5).read()
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"JupyterLab did not start within {seconds} s:\n{log.read_text()[-2000:]}")
