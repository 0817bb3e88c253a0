"""Shell functions that say what routes a machine has, before a change and after it.

`ip` is started once a family, with all that is to be known: starting it is what costs.
"""

from collections.abc import Collection, Sequence

from .batch import DIVIDED, PASSING, batch, shows
from .cluster import Address, Network
from .question import all_ours
from .steps import Steps

# Takes from $text what changes by itself.
_LASTING = f"""lasting() {{
  case $text in
    *" expires "* | *" linkdown"* | *" dead"*)
      text=$(printf '%s\\n' "$text" | sed '{"; ".join(f"s/{words}//g" for words in PASSING)}') ;;
  esac
}}"""

# What is shown comes in parts, to be taken apart at the `<` of the dividers, which else only `route
# get` may say: to go through the lines one by one takes the square of their number.
_LOOK = rf"""nl='
'
part() {{ part=${{1%"{DIVIDED}"}} part=${{part#*"$nl"}}; }}
look() {{
  text=$nl$(shown 2>/dev/null)
  lasting
  set -f
  IFS='<'
  set -- $text
  table='' owned='' touched='' rest='' ways=''
  if [ "$six" ] && [ $# -gt 3 ]; then
    part "$1"; table=$part
    part "$2"; table=$table$part owned="== kept 6$nl$part"
    part "$3"; touched=$part
    shift 3
  fi
  if [ $# -gt 3 ]; then
    part "$1"; inside=$part
    part "$2"; table=$inside$part$table owned="== kept 4$nl$part$owned"
    part "$3"; touched=$part$touched
    shift 3
    rest="$*"
  fi
  rest=${{rest#*"$nl"}}
  asked=${{rest%%"{DIVIDED}<"*}}
  resolved=${{rest#"$asked"}} resolved=${{resolved#*"$nl"}} resolved=${{resolved%"{DIVIDED}<"*}}
  IFS=$nl
  for line in $asked; do ways=$ways${{line%% cache*}}$nl; done
  unset IFS
  set +f
  case $rest in *"{DIVIDED}<"*"{DIVIDED}<"*) ;; *) return 1 ;; esac
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
    runs = [shows("-force", *all_ours(pod_networks, 4), _at(steps, 4), ways, resolved)]
    if 6 in {network.version for network in (*pod_networks, *steps.prefixes)}:
        runs.insert(0, shows("-6 -force", *all_ours(pod_networks, 6), _at(steps, 6)))
    six = "yes" if len(runs) > 1 else ""
    return "\n".join([_LASTING, "shown() {", *runs, "}", f"six={six}", _LOOK])


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


def _at(steps: Steps, family: int) -> list[str]:
    return [f"route show table main exact {p}" for p in steps.prefixes if p.version == family]
