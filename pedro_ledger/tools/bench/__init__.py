"""The bench: how near the daemon comes to the limits of its parts, every row measured in turn in
one run.

`command` is the command, `suite` the run, `rows` what is measured, `rig` the server, databases and
processes under test, `figures` the arithmetic, `goals` what is to be reached. `echo`, `function`,
`proxy`, `generator` and `sampler` run as processes of their own. The daemon never imports anything
from here.
"""
