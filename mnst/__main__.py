"""`python -m mnst` is the command `mnst`."""

import sys

from mnst.cli import main

if __name__ == "__main__":
    sys.exit(main())
