"""The neighbours: one class for each BGP daemon, all with the same face."""

from daemons.bird import Bird
from daemons.exabgp import ExaBgp
from daemons.frr import Frr
from daemons.gobgp import GoBgp
from daemons.openbgpd import OpenBgpd

DAEMONS = {cls.name: cls for cls in (Bird, Frr, GoBgp, OpenBgpd, ExaBgp)}
"""By name, in the order of the table's columns."""
