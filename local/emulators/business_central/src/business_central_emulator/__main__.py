"""`python -m business_central_emulator`: the server from the command line; see `cli`."""

from business_central_emulator.cli import main

if __name__ == "__main__":
    main()
