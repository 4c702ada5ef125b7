"""Every trial, in modules by what is broken. Importing this fills `rig.SCENARIOS`."""

from tests.faults.scenarios import clients as clients
from tests.faults.scenarios import control as control
from tests.faults.scenarios import daemons as daemons
from tests.faults.scenarios import disks as disks
from tests.faults.scenarios import machine as machine
from tests.faults.scenarios import network as network
from tests.faults.scenarios import server as server
