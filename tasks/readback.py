"""Shell functions that say what routes a machine has, before a change and after it.

`ip` is started once a family, with all that is to be known: starting it is what costs.
"""

import socket
from collections.abc import Collection, Sequence
from functools import lru_cache

from .batch import DIVIDED, PASSING, batch, shows
from .cluster import Address, Network, within
from .question import all_ours
from .steps import Steps

# Takes from $text what changes by itself.
_LASTING = f"""lasting() {{
  case $text in
    *" expires "* | *" linkdown"* | *" dead"*)
      text=$(printf '%s\\n' "$text" | sed '{"; ".join(f"s/{words}//g" for words in PASSING)}') ;;
  esac
}}"""

# found: the lines given that are about one of $prefixes; IFS is a new line. To ask `ip` for each of
# them would have the kernel go through its whole table each time.
_AT = r"""at() {
  found=
  for line in $1; do
    prefix=${line#* }
    case $prefixes in *" ${prefix%% *} "*) found=$found$line$nl ;; esac
  done
}"""

# What is shown comes in parts, to be taken apart at the `<` of the dividers, which else only `route
# get` may say: to go through the lines one by one takes the square of their number.
_LOOK = rf"""part() {{ part=${{1%"{DIVIDED}"}} part=${{part#*"$nl"}}; }}
look() {{
  text=$nl$("shown_$1" 2>/dev/null)
  failed=$?
  lasting
  set -f
  IFS='<'
  set -- $text
  table='' owned='' lines='' rest='' ways=''
  if [ "$six" ] && [ $# -gt 3 ]; then
    part "$1"; lines=$part
    part "$2"; table=$lines$part owned="== kept 6$nl$part"
    part "$3"; lines=$lines$part
    shift 3
  fi
  if [ $# -gt 3 ]; then
    part "$1"; inside=$part
    part "$2"; table=$inside$part$table owned="== kept 4$nl$part$owned"
    part "$3"; lines=$inside$part$lines
    shift 3
    rest="$*"
  fi
  rest=${{rest#*"$nl"}}
  asked=${{rest%%"{DIVIDED}<"*}}
  resolved=${{rest#"$asked"}} resolved=${{resolved#*"$nl"}} resolved=${{resolved%"{DIVIDED}<"*}}
  IFS=$nl
  at "$lines"; touched=$found
  for line in $asked; do ways=$ways${{line%% cache*}}$nl; done
  unset IFS
  set +f
  case $rest in *"{DIVIDED}<"*"{DIVIDED}<"*) ;; *) return 1 ;; esac
}}"""


def look_function(
    steps: Steps, pod_networks: Sequence[Network], lifelines: Collection[Address]
) -> str:
    """A shell function that sets what is to be known; it fails where `ip` does not say all.

    It is called as `look before` and `look after`. The second first carries out what is `joined`;
    then pending/said has what `ip` said against any of its lines.

    failed: the status of `ip`;
    table: all routes that this tool may touch, as `Facts.snapshot` has them; owned: ours among
    them; touched: those at the prefixes of the steps; ways: how the lifelines are reached;
    resolved: where packets go for each prefix that gets a route, after the change.
    """
    ways = [f"route get {address}" for address in lifelines]
    resolved = [f"route get {first_address(prefix)}" for prefix in steps.puts]
    parts = _parts(steps, pod_networks, 4)
    six = []
    if 6 in {network.version for network in (*pod_networks, *steps.prefixes)}:
        six = [shows("-6 -force", *_parts(steps, pod_networks, 6))]
    lines = [_at(steps), f"six={'yes' if six else ''}", _LOOK]
    before = shows("-force", *parts, ways, [])
    changes = joined(steps)
    after = shows("-force", *parts, ways, resolved, first=changes)
    noted = ["exec 2>pending/said"] if changes else []
    lines += ["shown_before() {", *six, f"exec {before}", "}"]
    lines += ["shown_after() {", *six, *noted, f"exec {after}", "}"]
    return "\n".join(lines)


def joined(steps: Steps) -> tuple[str, ...]:
    """The lines that `look after` is to carry out, in the run of `ip` that reads back.

    All of them where they only add IPv4 routes, else none. That run goes on after a line that
    fails: nothing is taken away by then, and the undo takes what was added.
    """
    adds = all(line.startswith("route add ") for line in steps.do) and not steps.restores
    return steps.do if adds and {prefix.version for prefix in steps.prefixes} == {4} else ()


def touched_function(steps: Steps, pod_networks: Sequence[Network]) -> str:
    """A shell function that prints `touched` alone; never nothing where `ip` fails."""
    runs = []
    for family, options in ((4, "-force"), (6, "-6 -force")):
        if any(prefix.version == family for prefix in steps.prefixes):
            inside, _ = all_ours(pod_networks, family)
            asked = [*inside, *_outside(steps, pod_networks, family)]
            runs += [batch(f"{options} -details -oneline", asked), "[ $? = 0 ] || return"]
    touched = """touched() {
  text=$(shown 2>/dev/null) || { echo failed; return; }
  lasting
  set -f
  IFS=$nl
  at "$text"
  printf %s "$found"
}"""
    return "\n".join([_at(steps), "shown() { :", *runs, "}", touched])


@lru_cache(maxsize=65536)  # each prefix is one on every other machine of the cluster
def first_address(prefix: Network) -> Address:
    """The address that is asked for to see where a prefix leads."""
    return prefix[0] if prefix.num_addresses == 1 else prefix[1]


def _at(steps: Steps) -> str:
    prefixes = " ".join(["", *map(_as_shown, steps.prefixes), ""])
    return "\n".join([f"nl='\n'\nprefixes='{prefixes}'", _LASTING, _AT])


@lru_cache(maxsize=65536)
def _as_shown(prefix: Network) -> str:
    """A prefix as `ip` shows it: by inet_ntop(3), and a host's without its length."""
    family = socket.AF_INET if prefix.version == 4 else socket.AF_INET6
    first = socket.inet_ntop(family, prefix.network_address.packed)
    return first if prefix.num_addresses == 1 else f"{first}/{prefix.prefixlen}"


def _parts(steps: Steps, pod_networks: Sequence[Network], family: int) -> list[list[str]]:
    """What to ask of a family: all inside pod_networks, all that is ours, prefixes elsewhere."""
    return [*all_ours(pod_networks, family), _outside(steps, pod_networks, family)]


def _outside(steps: Steps, pod_networks: Sequence[Network], family: int) -> list[str]:
    """What to ask for the prefixes that are not shown with all that is inside pod_networks."""
    return [
        f"route show table main exact {prefix}"
        for prefix in steps.prefixes
        if prefix.version == family and not within(prefix, tuple(pod_networks))
    ]
