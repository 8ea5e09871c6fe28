"""Who may sign: private keys, and the root and targets metadata that name their public halves.

====================  =========  ====================================================================
role                  threshold  what its keys may say
====================  =========  ====================================================================
root-1, -2, -3        2 of 3     which keys all other roles have; kept offline
targets               1          which persons release, and which key serves which fleet; kept offline
releases (persons)    2          which artefacts may run on which hardware: four eyes
fleet-<name>          1          which of these artefacts its fleet is offered, and from which stage on
snapshot, timestamp   1          that all of this belongs together, and is fresh
====================  =========  ====================================================================

The last two rows are the online keys: unattended runs hold them and no others.

custody.py    private halves: files, or signers elsewhere by their URI
holders.py    whom devices trust now
founding.py   make what is missing, renew what nears its expiry
rotation.py   replace a key of root, targets, snapshot, timestamp or a fleet

Persons come, go and get new keys in registry/rollout/staffing.py: what they have released has to stay released.
"""

from registry.keys.custody import is_here, signer_of
from registry.keys.founding import init_keys
from registry.keys.holders import Holder, exposed, is_demo, near_expiry, no_keys, require_keys, show_keys
from registry.keys.rotation import Rotation, rotate_key

__all__ = [
    "Holder",
    "Rotation",
    "exposed",
    "init_keys",
    "is_demo",
    "is_here",
    "near_expiry",
    "no_keys",
    "require_keys",
    "rotate_key",
    "show_keys",
    "signer_of",
]
