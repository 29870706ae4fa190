"""``python -m bge_micro``: the same as the command ``bge-micro``."""

import sys

from bge_micro.cli import main

if __name__ == "__main__":
    sys.exit(main())
