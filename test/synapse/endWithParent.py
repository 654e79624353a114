"""Runs a Python module or script that must not outlive the process that started it.

    endWithParent.py [-m MODULE | SCRIPT] ARGUMENT...

File descriptor 3 is a pipe whose other end only the parent has: when it closes, however the parent ended, this process ends at once.
On Linux the kernel is asked for the same, which reaches a process that is stopped too.
"""

import os
import runpy
import signal
import sys
import threading

PARENT_FD = 3


def end_with_parent():
    while True:
        try:
            if os.read(PARENT_FD, 1) == b"":
                break
        except InterruptedError:
            continue
        except OSError:
            break
    os.kill(os.getpid(), signal.SIGKILL)


os.set_inheritable(PARENT_FD, False)
if sys.platform == "linux":
    import ctypes

    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
threading.Thread(target=end_with_parent, daemon=True).start()

del sys.argv[0]
if sys.argv[0] == "-m":
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")
