"""The reference device client: the light base install, numpy and one runtime are enough for it.

client.py      one check, from the trusted root to the self-test
updating.py    one update: the firmware first, then the model: fetch, try, switch or stay, report
firmware.py    an image that an installer flashes (installer.py), and that has to run before it counts
line.py        what is alike for models and firmware
source.py      the repository as a device sees it: a verified manifest, a verified artefact
judge.py       what a verified manifest means for this device: refuse, wait or take it
fetcher.py     HTTP and files under one total deadline and above a rate; connection.py cuts what is slower
floors.py      what must never go back: sequence, release counter, time
facts.py       what the device knows of itself; boot.py: which boot this is
slots.py       two slots, and the pointer that says which one runs
tries.py       how often the device tried, and when it may try again
selftest.py    run the artefact's own vectors in the device's runtime, against the clock too
reporting.py   what the device says of itself; outbox.py keeps it signed until uplink.py has sent it
conformance.py the client that the TUF conformance suite drives
"""

from registry.device.client import Decision, check
from registry.device.facts import Facts, read_facts
from registry.device.line import Updated
from registry.device.refusal import Refused, Unreachable
from registry.device.reporting import Reporter, read_key
from registry.device.updating import answered, update

__all__ = [
    "Decision",
    "Facts",
    "Refused",
    "Reporter",
    "Unreachable",
    "Updated",
    "answered",
    "check",
    "read_facts",
    "read_key",
    "update",
]
