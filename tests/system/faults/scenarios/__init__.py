"""Every trial, in modules by what is broken. Importing this fills `rig.SCENARIOS`."""

from tests.system.faults.scenarios import adoption as adoption
from tests.system.faults.scenarios import app as app
from tests.system.faults.scenarios import clients as clients
from tests.system.faults.scenarios import control as control
from tests.system.faults.scenarios import daemons as daemons
from tests.system.faults.scenarios import disks as disks
from tests.system.faults.scenarios import machine as machine
from tests.system.faults.scenarios import neighbours as neighbours
from tests.system.faults.scenarios import network as network
from tests.system.faults.scenarios import server as server
from tests.system.faults.scenarios import webhooks as webhooks
