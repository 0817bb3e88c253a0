"""The script that writes or removes a machine's boot files when a change is confirmed.

It is sent with the change and stored beside the undo script. The confirmation runs it in STATE.
"""

from tasks.common.script import Script, joined, script
from tasks.undo.records import LOG

from .backends import Files


def persist_script(files: Files) -> Script:
    """The script for these files. If it fails, it prints the reason and exits with status > 0."""
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
