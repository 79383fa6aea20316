"""`python -m echotok`: the command line of `echotok.cli`."""

import sys

from echotok.cli import main

if __name__ == "__main__":
    sys.exit(main())
