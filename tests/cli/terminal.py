"""Runs a command before a controlling terminal, as a person does, prints what stood there, and ends as the command did.

    terminal.py STDERR AHEAD ANSWER COMMAND...

STDERR is `terminal`, or `pipe` for streams that lead elsewhere, as with `2>&1 | tee log`; what they get is printed too.
Or it is `background`: the command runs as after `&`, and one that the kernel stops there ends with exit code 99.
AHEAD is typed before the command starts, ANSWER when its question stands on the terminal.
"""

import os
import pty
import signal
import sys
import threading

stderr, ahead, answer, command = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
start_reader, start_writer = os.pipe()
diagnostics_reader, diagnostics_writer = os.pipe()

child, terminal = pty.fork()
if child == 0:
    os.close(start_writer)
    os.read(start_reader, 1)
    if stderr == "pipe":
        # A terminal that nobody has open is at its end; before a person the shell has it open.
        os.set_inheritable(os.dup(0), True)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(diagnostics_writer, 1)
        os.dup2(diagnostics_writer, 2)
    for end in (start_reader, diagnostics_reader, diagnostics_writer):
        os.close(end)
    if stderr == "background":
        worker = os.fork()
        if worker:
            _, status = os.waitpid(worker, os.WUNTRACED)
            if os.WIFSTOPPED(status):
                os.kill(worker, signal.SIGKILL)
                os._exit(99)
            os._exit(os.waitstatus_to_exitcode(status))
        # A group of its own, which the terminal does not know.
        os.setpgid(0, 0)
    os.execvp(command[0], command)

os.close(diagnostics_writer)
os.write(terminal, ahead.encode())
os.write(start_writer, b"x")


def read(source):
    """What comes next; nothing at the end, which Linux tells of a terminal by an error."""
    try:
        return os.read(source, 4096)
    except OSError:
        return b""


# A child that writes much must not have to wait for a reader of it while its question is waited for.
streams = []
keeping = threading.Thread(target=lambda: streams.extend(iter(lambda: read(diagnostics_reader), b"")))
keeping.start()
seen = b""
is_answered = False
while piece := read(terminal):
    seen += piece
    if not is_answered and b"[y/N] " in seen:
        is_answered = True
        os.write(terminal, answer.encode())
keeping.join()
rest = b"".join(streams)
_, status = os.waitpid(child, 0)
print("--- terminal")
print(seen.decode().replace("\r\n", "\n"), end="")
if rest:
    print("--- streams")
    print(rest.decode(), end="")
sys.exit(os.waitstatus_to_exitcode(status))
