"""Static routes between Kubernetes pod subnets, as Fabric tasks."""

import os
import sys
from pathlib import Path

__version__ = "1.0.0"  # CHANGELOG.md says what is in it

# Invoke has Python keep no bytecode, so every run would compile all of this anew, for a tenth of a
# second. But root leaves none in the checkout of another user, who could not take it away.
if not sys.flags.dont_write_bytecode and Path(__file__).stat().st_uid == os.geteuid():
    sys.dont_write_bytecode = False

# Pydantic would look through all packages that are installed for plugins to its models.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
