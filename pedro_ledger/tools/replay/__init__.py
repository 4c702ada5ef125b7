"""`pedro-ledger replay`: a usage trace through a real daemon over HTTP, and whether the books agree
afterwards.
"""
