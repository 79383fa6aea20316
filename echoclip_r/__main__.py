"""`python -m echoclip_r`: the same as `echoclip-r`."""

import sys

from echoclip_r.cli.main import main

# Worker processes import this module again, under another name.
if __name__ == "__main__":
    sys.exit(main())
