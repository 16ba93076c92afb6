"""How the bytes of a model version come, stay, are checked, and go.

Strategy: the files of a version live in a folder named by their content,
`<root>/<encoded model>/<digest>/<path>`, where the digest is the first half of the manifest's root
digest. A seal lies apart, at `<root>/.registry/manifests/<folder>/manifest.json`: it closes the
folder before the first file is written, and holds the manifest after the last one. So running an
upload again continues it, two versions with the same bytes share them, and a model that is renamed,
or deleted and made anew, can never meet the files of its namesake.

    push: version PENDING_REGISTRATION with its final source -> folder closed -> files -> manifest
          -> READY

A crash leaves a pending version and some files, and nothing that a reader would take for a model.
Running the push again, or a repair, ends it. Files that were put below the root by others, through
a server's artifact routes, are sealed where they are when a version is made of them.

- `coming`: push, and registering what is there      - `reading`: pull and verify
- `changes`: what no version has may be changed       - `garbage`: what no version has is removed
- `health`: what is wrong, and its repair
- `places`, `seals`, `leases`: where things are, what may not change, who is at work
"""

from registry_core.artifacts.versions.context import DIGEST_TAG
from registry_core.artifacts.versions.facade import ModelArtifacts
from registry_core.artifacts.versions.gc import DEFAULT_GRACE_SECONDS, Garbage

__all__ = [
    "DEFAULT_GRACE_SECONDS",
    "DIGEST_TAG",
    "Garbage",
    "ModelArtifacts",
]
