"""Commands to be killed, each in a process that need not import anything again: what test_kills.py starts.

A line of input is JSON: a list of arguments begins `python -m imu_core …`, and the answer is the id of the process, which leads a
group of its own; a number is such an id, and the answer is how that process ended, once it has.
"""

import json
import os
import sys
import warnings

from imu_core.cli import app
from imu_core.problems.problem import problem


def begin(arguments: list[str]) -> int:
    """The id of a new process that does what `arguments` say."""
    pid = os.fork()
    os.setpgid(pid, pid)  # both do it, so that it is done whoever comes first
    if pid:
        return pid
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    try:
        code = app(arguments, standalone_mode=False)
    except BaseException:
        code = 1
    os._exit(code or 0)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    problem("fashion", model="lenet5", forget="class:Sandal")  # every process finds it in memory
    for line in sys.stdin:
        asked = json.loads(line)
        answer = begin(asked) if isinstance(asked, list) else os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1])
        print(answer, flush=True)
