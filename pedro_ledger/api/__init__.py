"""The HTTP API.

`routes` is the table of every call, `endpoints` has a module for each resource, `schemas` describes
what callers send and get. `server` takes a request through `router`, `access` and its endpoint.
"""
