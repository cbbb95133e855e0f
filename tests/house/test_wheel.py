"""The wheel: built, installed into an environment of its own, and used from there without the checkout."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig
import time
import tomllib
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Makes a wheel of everything that ships and a new environment. The default run tests the same commands and pages in the checkout.
pytestmark = pytest.mark.slow(reason="a wheel and an environment are made")
LARGEST = 100 * 10**6  # bytes
OPENED = """
from streamlit.testing.v1 import AppTest
from imu_core import runtime

at = AppTest.from_file(str(runtime.APP), default_timeout=400).run()
assert not at.exception, at.exception
print("Start" if at.title or at.header or at.subheader or at.markdown else "nothing")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what git knows of, so that nothing is left behind in the checkout, and nothing in it is taken along."""
    source, into = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, listed):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(into), str(source)]
    subprocess.run(command, env=empty(into), check=True)
    (built,) = into.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment with the wheel in it; libraries are borrowed from this one, the project is not."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    python = str(home / "bin" / "python")
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(command, env=empty(home), check=True)
    (libraries,) = home.glob("lib/python*/site-packages")
    (libraries / "borrowed.pth").write_text(sysconfig.get_path("purelib"))  # of a folder named so, no .pth file is read
    return home / "bin"


def ran(installed: Path, folder: Path, *command: str) -> str:
    """What a command of the new environment prints, in an empty folder with an empty home."""
    whole = [str(installed / command[0]), *command[1:]]
    done = subprocess.run(whole, cwd=folder, env=empty(folder), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def empty(folder: Path) -> dict[str, str]:
    """The environment variables of somebody who has never used it; no path leads to the checkout."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("IMU_", "PYTHON"))}
    return mine | {"IMU_HOME": str(folder / "home")}


def test_it_is_not_too_large(wheel: Path) -> None:
    assert wheel.stat().st_size < LARGEST


def test_every_package_is_in_it() -> None:
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "imu_core").rglob("__init__.py")}
    assert set(named) == there | {"imu_core.app", "imu_core.assets"}


def test_the_engine_and_its_data_are_there(installed: Path, tmp_path: Path) -> None:
    code = "import imu_core; print(imu_core.__file__); print(imu_core.problem('fashion', model='lenet5').split.request)"
    where, request = ran(installed, tmp_path, "python", "-c", code).splitlines()
    assert Path(where).is_relative_to(installed.parent)
    assert request == "class:Sandal"


def test_the_command_is_there(installed: Path, tmp_path: Path) -> None:
    assert "unlearn" in ran(installed, tmp_path, "imu", "--help").lower()
    assert "small_resnet" in ran(installed, tmp_path, "imu", "info")


def test_the_documents_are_there(installed: Path, tmp_path: Path) -> None:
    code = "from imu_core import runtime; print(*(p.stem for p in (runtime.ASSETS / 'docs').glob('*.md')), runtime.APP.parent)"
    *names, app = ran(installed, tmp_path, "python", "-c", code).split()
    assert {path.stem for path in (ROOT / "assets" / "docs").glob("*.md")} == set(names)
    assert (Path(app) / "pages" / "docs.py").is_file()


def test_the_first_page_opens(installed: Path, tmp_path: Path) -> None:
    assert ran(installed, tmp_path, "python", "-c", OPENED).split()[-1] == "Start"


@pytest.fixture
def serving(installed: Path, tmp_path: Path) -> Iterator[int]:
    """The port at which `imu app` serves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(installed / "imu"), "app", "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, env=empty(tmp_path)) as app:
        yield port
        app.terminate()


def test_the_app_is_served(serving: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{serving}/_stcore/health", timeout=5) as answer:
                assert answer.read() == b"ok"
            break
        except OSError:
            time.sleep(0.2)
    else:
        pytest.fail("the server did not start")
    with urllib.request.urlopen(f"http://127.0.0.1:{serving}/unlearn", timeout=10) as answer:
        assert "imu_visitor" in str(answer.headers) or answer.status == 200
