"""Lets `python -m pedro_ledger` stand for `pedro-ledger`."""

from pedro_ledger.cli.main import main

if __name__ == "__main__":
    main()
