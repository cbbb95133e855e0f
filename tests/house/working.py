"""Jobs that never end: a script for Python and for `streamlit run`, see test_ending.py."""

import atexit
from collections.abc import Iterator

import torch
from streamlit import runtime

from imu_core.jobs import Job, JobQueue


def steps() -> Iterator[torch.Tensor]:
    """Without end; C++ lets go of the interpreter and asks for it back at every step."""
    while True:
        yield torch.randn(200, 200).mm(torch.randn(200, 200)).relu_()


def deaf() -> Iterator[torch.Tensor]:
    """Nothing: it looks at no Stop and never comes to an end."""
    for _ in steps():
        pass
    return iter(())


queue = JobQueue(workers=3)
jobs = [queue.submit(Job("steps", steps, owner=str(n))) for n in range(2)] + [queue.submit(Job("deaf", deaf, owner="d"))]
while not (all(job.items for job in jobs[:2]) and jobs[2].state == "running"):
    pass
atexit.register(lambda: print("ended:", *(job.state for job in jobs), flush=True))
print("working", flush=True)
if runtime.exists():  # a page that computes when its server is told to end
    Job("page", deaf).run()
