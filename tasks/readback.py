"""Shell functions that say what routes a machine has, before a change and after it.

`ip` is started once a family, with all that is to be known: starting it is what costs.
"""

from collections.abc import Collection, Sequence

from .batch import DIVIDED, PASSING, batch, shows
from .cluster import Address, Network
from .question import all_ours
from .route import OWN_PROTOCOL
from .steps import Steps

# Takes from $text what changes by itself.
_LASTING = f"""lasting() {{
  case $text in
    *" expires "* | *" linkdown"* | *" dead"*)
      text=$(printf '%s\\n' "$text" | sed '{"; ".join(f"s/{words}//g" for words in PASSING)}') ;;
  esac
}}"""

# What is shown comes in parts: five of the first run of `ip`, three of the second, if there is one.
# Of routes that were asked for by their protocol, `ip` leaves that out.
_LOOK = rf"""nl='
'
look() {{
  text=$(shown 2>/dev/null)
  lasting
  table='' owned="== kept 4$nl" touched='' ways='' resolved='' part=0
  set -f
  IFS=$nl
  for line in $text; do
    case $part-$line in
      ?-"{DIVIDED}"*)
        part=$((part + 1))
        [ $part != 6 ] || owned="$owned== kept 6$nl"
        ;;
      [05]-*) table=$table$line$nl ;;
      1-* | 6-*) table=$table$line$nl owned="$owned$line proto {OWN_PROTOCOL}$nl" ;;
      2-* | 7-*) touched=$touched$line$nl ;;
      3-*) ways=$ways${{line%% cache*}}$nl ;;
      4-*) resolved=$resolved$line$nl ;;
    esac
  done
  unset IFS
  set +f
  [ $part = $parts ]
}}"""


def look_function(
    steps: Steps, pod_networks: Sequence[Network], lifelines: Collection[Address]
) -> str:
    """A shell function `look` that sets what is to be known; it fails where `ip` does not say all.

    table: all routes that this tool may touch, as `Facts.snapshot` has them; owned: ours among
    them; touched: those at the prefixes of the steps; ways: how the lifelines are reached;
    resolved: where packets go for each prefix that gets a route.
    """
    ways = [f"route get {address}" for address in lifelines]
    resolved = [f"route get {first_address(prefix)}" for prefix in steps.puts]
    runs = [shows("-force", *_parts(steps, pod_networks, 4), ways, resolved)]
    if 6 in {network.version for network in (*pod_networks, *steps.prefixes)}:
        runs.append(shows("-6 -force", *_parts(steps, pod_networks, 6)))
    parts = 3 * len(runs) + 2
    return "\n".join([_LASTING, "shown() {", *runs, "}", f"parts={parts}", _LOOK])


def touched_function(steps: Steps) -> str:
    """A shell function that prints `touched` alone; never nothing where `ip` fails."""
    runs = []
    for options, asked in (("-force", _at(steps, 4)), ("-6 -force", _at(steps, 6))):
        if asked:
            runs += [batch(f"{options} -details -oneline", asked), "[ $? = 0 ] || echo failed"]
    touched = """touched() {
  text=$(shown 2>/dev/null)
  lasting
  printf '%s\\n' "$text"
}"""
    return "\n".join([_LASTING, "shown() { :", *runs, "}", touched])


def first_address(prefix: Network) -> Address:
    """The address that is asked for to see where a prefix leads."""
    return prefix[0] if prefix.num_addresses == 1 else prefix[1]


def _parts(
    steps: Steps, pod_networks: Sequence[Network], family: int
) -> tuple[list[str], list[str], list[str]]:
    """What to ask `ip -batch` of a family: for all inside, all owned, all touched."""
    ours = all_ours(pod_networks, family)
    return ours[:-1], ours[-1:], _at(steps, family)


def _at(steps: Steps, family: int) -> list[str]:
    return [f"route show table main exact {p}" for p in steps.prefixes if p.version == family]
