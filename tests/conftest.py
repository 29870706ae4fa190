"""No test uses a network: names on the hub resolve to caches, or to a server on this machine."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
