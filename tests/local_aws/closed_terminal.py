"""Runs a command on a terminal, closes that when an event stands there, and ends as the command did.

    closed_terminal.py EVENT ADDRESS COMMAND...
"""

import json
import os
import pty
import sys

event, address, command = sys.argv[1], sys.argv[2], sys.argv[3:]
child, terminal = pty.fork()
if child == 0:
    os.execvp(command[0], command)


def told(line):
    """Whether a line tells the event; a terminal may show other things too."""
    try:
        said = json.loads(line)
    except ValueError:
        return False
    return (said.get("event"), said.get("address")) == (event, address)


with os.fdopen(terminal, "rb") as lines:
    if not any(told(line) for line in lines):
        sys.exit("the event never came")
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
