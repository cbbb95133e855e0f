"""`app`: start the pages on this machine, for yourself or for everybody."""

from __future__ import annotations

import os
import re
import sys
from typing import Annotated

import typer

from imu_core import runtime
from imu_core.access import limits
from imu_core.cli import app
from imu_core.cli.speaking import say, speaking
from imu_core.errors import ConfigError

_PART = re.compile(r"[A-Za-z0-9_-]+")
_EXAMPLES = """\b
Examples:
  imu app
  imu app --port 8080 --base-path imu
  imu app --public --address 0.0.0.0      (everybody sees their own runs alone)

assets/docs/server.md says how to put it on a server."""


@app.command("app", epilog=_EXAMPLES)
@speaking
def app_command(
    address: Annotated[str, typer.Option(help="Where it listens; 0.0.0.0 is every address of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="INTEGER", min=1, max=65_535, help="The port it listens at.")] = 8501,
    base_path: Annotated[
        str, typer.Option("--base-path", metavar="PATH", help="The path below which a proxy shows it, say imu for host/imu/.")
    ] = "",
    public: Annotated[
        bool, typer.Option("--public", help="For people who do not know each other: as IMU_PUBLIC=1 (see assets/docs/server.md).")
    ] = False,
) -> None:
    """Start the server of the pages and serve until Ctrl-C. Its other options are those of .streamlit/config.toml."""
    if public:
        os.environ["IMU_PUBLIC"] = "1"
    limits.check()
    command = serving(address, port, base_path)
    host = "127.0.0.1" if address == "0.0.0.0" else address
    say(f"Open http://{host}:{port}/{base_path.strip('/')} in a browser; Ctrl-C here stops it.")
    os.execv(command[0], command)


def serving(address: str, port: int, base_path: str) -> list[str]:
    """The command line that serves the pages. ConfigError where the pages are missing or `base_path` is no path of a URL."""
    script, path = runtime.APP, base_path.strip("/")
    if not script.is_file():
        raise ConfigError(
            f"The pages are not here: there is no {script}. Install the package again, or start it from a checkout."
        )
    if path and not all(_PART.fullmatch(part) for part in path.split("/")):
        raise ConfigError(f"The base path is {base_path[:40]!r}; it is made of letters, digits, - and _, with / between parts.")
    where = ["--server.address", address, "--server.port", str(port), "--server.baseUrlPath", path]
    return [sys.executable, "-m", "streamlit", "run", str(script), *where]
