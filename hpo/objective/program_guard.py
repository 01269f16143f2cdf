"""Ends the process group it leads when the worker that started it dies. Run as a script, by path, without hpo.

A trial's program joins this process's group. The worker holds the other end of standard input, so the end of that file,
like a new parent, means that the worker is gone, however it died. A dead worker cannot clean up, a parent-death signal
(Linux only) would need code between fork and exec and reach the program but not its children; this reaches all of them.
"""

import os
import select
import signal
import sys
import time


def main(parent: int, grace: float) -> None:
    """Wait for the worker's death, then end the group: SIGTERM, and after `grace` seconds SIGKILL."""
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # meant for the program, when sent to the group
        signal.signal(ignored, signal.SIG_IGN)
    while os.getppid() == parent and not select.select([0], [], [], 1.0)[0]:
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(grace)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
