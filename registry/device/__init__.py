"""The reference device client: the light base install, numpy and one runtime are enough for it.

client.py    one check, from the trusted root to the self-test
judge.py     what a verified manifest means for this device: refuse, wait or take it
fetcher.py   HTTP and files under one total deadline
floors.py    what must never go back: sequence, release counter, time
facts.py     what the device knows of itself
selftest.py  run the artefact's own vectors in the device's runtime
"""

from registry.device.client import Decision, check
from registry.device.facts import Facts, read_facts
from registry.device.refusal import Refused, Unreachable

__all__ = ["Decision", "Facts", "Refused", "Unreachable", "check", "read_facts"]
