import subprocess
import sys

_SCRIPT = """
import atexit, threading
from collector.libvirt_source import event_loop

def running():
    return any(one.name == "libvirt-events" for one in threading.enumerate())

# The last that is registered is the first to run.
atexit.register(lambda: print(running()))
event_loop.start()
event_loop.start()
print(event_loop.is_started(), running())
"""


def test_the_loop_ends_before_the_interpreter():
    told = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True)
    assert (told.returncode, told.stdout.split(), told.stderr) == (0, ["True", "True", "False"], "")
