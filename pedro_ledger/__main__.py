"""Lets `python -m pedro_ledger` stand for `pedro-ledger`."""

from pedro_ledger.cli import main

if __name__ == "__main__":
    main()
