"""`python -m local`: the console. `./connect` and `make` call this; `--help` says what there is."""

from local.console.cli import main

if __name__ == "__main__":
    main(prog_name="connect")
