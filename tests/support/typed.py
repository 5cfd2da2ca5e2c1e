"""`mlrelease` where a shell finds it, without its imports: hands words and streams to the forker, ends as the fork does.

Runs with `python -I -S`; `support.program.typed` puts it in place. What asks by which shell it was called is a real start.
"""

import json
import os
import signal
import socket
import sys

forker = socket.socket(fileno=int(os.environ.pop("MLRELEASE_TEST_FORKER")))
real = os.environ.pop("MLRELEASE_TEST_REAL")
if any("completion" in word for word in sys.argv):
    os.execv(real, [real, *sys.argv[1:]])  # noqa: S606 - the program itself
mine, theirs = socket.socketpair()
told = json.dumps({"arguments": sys.argv[1:], "cwd": os.getcwd(), "environ": dict(os.environ)}).encode()
socket.send_fds(forker, [told], [0, 1, 2, theirs.fileno()])
theirs.close()
answer = mine.makefile()
answer.readline()
code = int(answer.readline())
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
