"""The script that puts a machine's files in place, or takes them away, when a change is confirmed.

It is sent with the change, waits beside the undo, and is run in STATE by whoever confirms.
"""

from tasks.common.script import Script, joined, script
from tasks.undo.records import LOG

from .backends import Files


def persist_script(files: Files) -> Script:
    """The script for these files; it says why where it fails, with a status that is not 0."""
    return joined(
        script("persistence/persist.sh", log=LOG),
        *(
            script(
                "persistence/persist_file.sh",
                path=f.path,
                mode=f.mode,
                target=f.target,
                text=f.text,
            )
            for f in files.write
        ),
        *(script("persistence/persist_removal.sh", path=path) for path in files.remove),
        script("persistence/persist_displaced.sh", stay="yes" if files.stay else ""),
    )
