"""Where the project stands, and how its fab is started."""

import sys
from pathlib import Path

PROJECT = Path(__file__).parent.parent
FAB = (str(Path(sys.executable).with_name("fab")), "--search-root", str(PROJECT))
