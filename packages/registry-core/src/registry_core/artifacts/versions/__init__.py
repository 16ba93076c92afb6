"""The files of model versions: pushed, pulled, verified, checked, and collected as garbage.

Strategy: the files of a version live in a folder named by their content,
`<root>/<encoded model>/<digest>/<path>`, where the digest is the first half of the manifest's root
digest. A seal lies apart, at `<root>/.registry/manifests/<folder>/manifest.json`. So running an
upload again continues it, two versions with the same bytes share them, and a model that is renamed,
or deleted and made anew, can never meet the files of its namesake.

The states of a folder, and what moves it from one to the next:

                 write, delete (`unsealed`, under a lease of `Context.writers`)
                     +--+
                     |  v
    ABSENT -------> OPEN ---------------> CLOSED ---------------------> SEALED
       ^             |  ^ `Seals.close`:    |   `Seals.seal`: the        |
       |             |  |  a mark with the  |    manifest replaces the   |
       |             |  |  expected digest  |    mark, once all files    |
       |             |  |                   |    are in place            |
       |             |  |                   |                            |
       |  the files  |  |     the seal      |                            |
       +-------------+  +-------------------+----------------------------+
                   `gc.collect`, under a lease of `Context.collectors`, if no
                   version needs the folder and nothing in it is younger than
                   the period of grace

The version beside it, and the folder at each step of a push (`push.push`) or of a registration of
files that others have put there (`push.register`):

    no version          a push begins                       OPEN or ABSENT
    PENDING_REGISTRATION  `CreateVersion`; then `Seals.close` -> CLOSED; then the files (a
                        registration: their digests); then `Seals.seal` -> SEALED
                        A push through a server (`uploads`) has `Seals.fill` after `close`, and its
                        client sends the files, each with its digest
    READY               `FinalizeVersion`, last; from here on readers take it for a model
    FAILED_REGISTRATION  `FinalizeVersion` after an error; the folder is garbage

What a process that dies leaves, and what ends it:

| it dies | what is left | what ends it |
| --- | --- | --- |
| while it sends a large file early (`early`), or before that is published | an upload of some or all bytes, which no version needs | the same push, which sends the rest and publishes it; or a collection |
| between `CreateVersion` and `close` | a pending version | the same push again (`push._interrupted`), or a repair (`check.check`): FAILED, or READY where another version brought the same bytes |
| between `close` and `seal` | a pending version, CLOSED with some of its files | the same push: it keeps the files that are there; a repair: READY if the bytes have the digest, else FAILED |
| between `seal` and `FinalizeVersion` | a pending version, SEALED | the same push, or a repair: READY |
| while it writes a file | a write that nobody sees, and a lease | the lease counts as dead after `leases.DEAD_AFTER_SECONDS`; a collection drops both |
| while it compares a large file whose upload it continued (`unverified`) | a pending version, CLOSED with a file of maybe other bytes, and a note of it | the same push reads the file, and sends it again if it is wrong; a repair reads all files |
| while it adopts files from elsewhere (`adopt`) | CLOSED or SEALED, which no version needs, and maybe a lease | the same adoption, which keeps the files that are there; or a collection |
| while it collects | OPEN with some files, and a lease | the next collection |

Nothing in this table is what a reader would take for a model.

Four rules keep writers, pushes and collections apart on every backend, with no lock service. Each
of two parties first says what it is about to do, then looks whether the other has: so at least one
sees the other, and waits or steps back.

1. A write takes a lease, then looks for a seal; a push that closes a folder waits for leases of writers.
   So a write is refused, or over before the digests are taken.
2. A push makes its version, then waits for leases of collectors; a collection takes a lease on what
   it is about to remove, then reads the versions again. So the version keeps its files, or comes
   when they are gone and uploads them.
3. A collection unseals a folder before it removes the first file: a seal stands for all its files.
4. A continued upload to a bucket makes its file before its bytes can be compared. It notes that,
   then looks for the seal of the folder; a version becomes READY after notes were looked for
   in a folder that is sealed. So the upload makes no file, or the version waits until it was read.

- `push`: pushes, and registering what is there      - `pull`: pull and verify
- `unsealed`: what no version has may be changed      - `gc`: what no version has is removed
- `check`: what is wrong, and its repair
- `foreign`: files that lie elsewhere, on a client  - `adopt`: how they come below the root
- `uploads`: a push whose files others send          - `remote`: the other end of one
- `layout`, `seals`, `leases`: where things are, what may not change, who is at work
- `unverified`: files that nobody has compared yet
- `received`: uploads whose place is not known yet   - `early`: the other end of these
"""  # noqa: E501 a table

from registry_core.artifacts.versions.facade import ModelArtifacts
from registry_core.artifacts.versions.gc import DEFAULT_GRACE_SECONDS, Garbage
from registry_core.artifacts.versions.push import PushOptions
from registry_core.artifacts.versions.uploads import Begun
from registry_core.models import DIGEST_TAG

__all__ = [
    "DEFAULT_GRACE_SECONDS",
    "DIGEST_TAG",
    "Begun",
    "Garbage",
    "ModelArtifacts",
    "PushOptions",
]
