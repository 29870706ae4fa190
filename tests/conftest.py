"""For every test: no network, and Ctrl-C works.

Names on the hub resolve to caches, or to a server on this machine.
"""

import os
import signal

os.environ["HF_HUB_OFFLINE"] = "1"

# A shell's background job ignores SIGINT, and its children inherit that: tests that send SIGINT
# would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
