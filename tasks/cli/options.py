"""The flags that the tasks share: help, default and range of each, in one table."""

from dataclasses import dataclass
from math import inf

CONFIRM_TIMEOUT = 60
EVERY = 10
RUNS_SHOWN = 20
MAX_PARALLEL = 1000


@dataclass(frozen=True)
class Numbers:
    """The whole numbers that a flag takes."""

    least: int
    most: float = inf
    default: int = 0  # of the flag; allowed even if it is out of the range
    unit: str = ""

    def allow(self, value: int) -> bool:
        """Whether the flag takes this value."""
        return value == self.default or self.least <= value <= self.most

    @property
    def choice(self) -> str:
        """What a person is told to choose instead of a value that is not allowed."""
        if self.most == inf:
            return f"choose {self.least} or more"
        return f"choose from {self.least} to {self.most} {self.unit}".rstrip()


@dataclass(frozen=True)
class Option:
    """One flag."""

    help: str
    numbers: Numbers | None = None


OPTIONS = {
    # Which machines and routes
    "inventory": Option("hosts.toml of another cluster (default: the one in this directory)"),
    "limit": Option("this machine only"),
    "only": Option("the routes to this worker, and the routes on it"),
    "skip-unreachable": Option("leave out machines that cannot be asked (exit status 4)"),
    "parallel": Option(
        "how many machines at a time (default: 32 are asked, 1 is changed)",
        Numbers(1, MAX_PARALLEL),
    ),
    # What a plan may do
    "adopt": Option("take over foreign routes that already lead to the right next hop"),
    "replace": Option("take away conflicting foreign routes; rollback puts them back"),
    "prune": Option("delete this tool's routes to workers that are not in hosts.toml"),
    "force": Option("with --prune: even if the next hop still answers"),
    "install": Option('install BIRD where routing = "bgp" needs it, its own service masked'),
    "persist": Option("auto: routes outlive a reboot; none: they do not (default: see hosts.toml)"),
    # How a plan is carried out
    "dry-run": Option("print the commands for each machine, and change nothing"),
    "yes": Option("do not ask before changing anything"),
    "confirm-timeout": Option(
        "seconds until a change that is not confirmed reverts itself",
        Numbers(5, 3600, CONFIRM_TIMEOUT, "seconds"),
    ),
    "no-ping": Option("do not ping pods around and during the change: for where ICMP is closed"),
    "hold": Option(
        "leave the change armed: `fab confirm` keeps it, `fab rollback --last` drops it"
    ),
    "last": Option("only the last run that changed something, or what waits for confirmation"),
    "foresee": Option("first try it on a copy of the machines, and say which pods will answer"),
    # plan, history, watch
    "check": Option("exit with 2 if there is something to do"),
    "number": Option("how many runs of each machine", Numbers(1, default=RUNS_SHOWN)),
    "every": Option("seconds between two looks at a machine", Numbers(1, 3600, EVERY, "seconds")),
    # verify
    "report": Option("write a page for the browser to this file: the pairs as a picture"),
    "format": Option("table, json for programs, or junit for CI"),
    "tcp": Option(
        "connect to this TCP port instead of pinging: for where ICMP is closed", Numbers(1, 65535)
    ),
    "sample": Option(
        "how many peers for each machine (default: all; 8 with more than 64 machines)",
        Numbers(1, 65535),
    ),
    "seed": Option("which sample: the same number chooses the same pairs"),
    "pods": Option("also ping the pods that run there, and show which source address others see"),
    "watch": Option(
        "verify again every so many seconds, and print only what has changed", Numbers(1, 65535)
    ),
    "full": Option("all pairs, however many machines there are"),
}


def help_of(flag: str) -> str:
    """The help text of a flag, with its default; raises KeyError if the table lacks the flag."""
    option = OPTIONS[flag]
    if option.numbers and option.numbers.default:
        return f"{option.help} (default: {option.numbers.default})"
    return option.help
