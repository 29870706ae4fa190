"""What holds for every test: no network, and Ctrl-C arrives.

Names on the hub resolve to caches, or to a server on this machine.
"""

import os
import signal

os.environ["HF_HUB_OFFLINE"] = "1"

# A shell's background job begins with SIGINT ignored, which its children would inherit: tests that
# send it would wait for work that goes on.
signal.signal(signal.SIGINT, signal.default_int_handler)
