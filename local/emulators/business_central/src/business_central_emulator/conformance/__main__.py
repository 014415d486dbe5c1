"""`python -m business_central_emulator.conformance`; see `conform_command`."""

import sys

from business_central_emulator.conformance.conform_command import main

if __name__ == "__main__":
    sys.exit(main())
