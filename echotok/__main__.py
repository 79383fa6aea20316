"""`python -m echotok`: the command line of `echotok.cli.main`."""

import sys

from echotok.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
