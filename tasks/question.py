"""How a machine is asked for its facts: one script, whose answer is text in sections.

Nothing here changes a machine, but for what is overdue there.
"""

import shlex
from collections.abc import Iterable, Sequence

from .batch import shows
from .cluster import Address, Network
from .facts import LOG, STATE
from .persistence import PATTERNS
from .route import OWN_PROTOCOL
from .watchdog import READ_DEADLINE

NEEDED = ("ip", "ping", "flock")


def all_ours(pod_networks: Sequence[Network], family: int) -> tuple[list[str], list[str]]:
    """What to ask `ip -batch` for all routes of a family that this tool may touch.

    Those inside pod_networks, and those that are owned.
    """
    inside = [f"route show root {n} table main" for n in pod_networks if n.version == family]
    return inside, [f"route show proto {OWN_PROTOCOL} table main"] if inside else []


def question(
    pod_networks: Sequence[Network],
    known: Iterable[Address],
    ask_strangers: bool,
    settle: str = "settle() { :; }",
) -> str:
    """The script that asks a machine for its facts, for `Shell.run`.

    `known` are the internal IPs of the cluster; with `ask_strangers`, every other next hop of
    an owned route is pinged, to tell a worker that is gone from one that a file forgot. `settle`
    defines a shell function of that name, run before anything is asked.
    """
    return _QUESTION.format(
        settle=settle,
        read_deadline=READ_DEADLINE,
        shown=_shown(pod_networks),
        needed=" ".join(NEEDED),
        state=shlex.quote(STATE),
        log=shlex.quote(LOG),
        files=" ".join(PATTERNS),
        own=OWN_PROTOCOL,
        known=shlex.quote(" ".join(["", *map(str, known), ""])),
        strangers="strangers" if ask_strangers else ":",
    )


def _shown(pod_networks: Sequence[Network]) -> str:
    """What `ip` shows. Where no IPv6 route is wanted one run shows all but IPv6's policy rules."""
    routes, rest = "route show table all", ("rule show", "address show", "link show type bridge")
    ours = all_ours(pod_networks, 4)
    if {network.version for network in pod_networks} == {4}:
        asked = [f"{routes} root 0.0.0.0/0", *rest], [f"{routes} root ::/0"]
        return _RUN.format(families="4 6", ip=shows("", *asked, *ours))
    four = _RUN.format(families="4", ip=shows("-4", [routes, *rest], *ours))
    six = shows("-6 -force", [routes, *rest], *all_ours(pod_networks, 6))
    return f'{four}\n  echo "== ip 6"\n{six}'


_RUN = """  echo "== ip {families}"
{ip}
  [ $? = 0 ] || {{ echo "== missing"; echo ip; }}"""

_QUESTION = r"""
{settle}
{read_deadline}
strangers() {{
  for hop in $(ip -4 -oneline route show proto {own}; ip -6 -oneline route show proto {own}); do
    [ "$previous" = via ] && echo "$hop"
    previous=$hop
  done | sort -u | {{
    while read -r hop; do
      case {known} in *" $hop "*) continue ;; esac
      ping -n -q -c 2 -i 0.3 -W 1 "$hop" >/dev/null 2>&1 && echo "$hop" &
    done
    wait
  }}
}}
missing() {{ # BusyBox has programs of these names that lack options
  IFS=:
  for place in $PATH; do
    [ -x "$place/$1" ] || continue
    unset IFS
    [ ! "$place/$1" -ef /bin/busybox ] || echo "$1 other than BusyBox's"
    return
  done
  unset IFS
  echo "$1"
}}
# Where it can the shell does by itself what a program could: a program costs a millisecond.
lines() {{ while IFS= read -r line || [ "$line" ]; do echo "$line"; done <"$1"; }}
main() {{
  settle
  echo "== missing"
  for program in {needed}; do missing "$program"; done
  echo "== client"
  echo "$SSH_CONNECTION"
{shown}
  echo "== maker"
  for file in sys_vendor product_name chassis_asset_tag; do lines "/sys/class/dmi/id/$file"; done
  for file in /var/lib/kubelet/kubelet-config.yaml /var/lib/kubelet/config.yaml; do
    [ -r "$file" ] || continue
    echo "== kubelet $file"
    while IFS= read -r line || [ "$line" ]; do
      case $line in podCIDR:*) echo "${{line#podCIDR:}}" ;; esac
    done <"$file"
  done
  for file in /etc/cni/net.d/*.conf /etc/cni/net.d/*.conflist /etc/cni/net.d/*.json; do
    [ -r "$file" ] || continue
    echo "== cni $file"
    while read -r line || [ "$line" ]; do printf '%s ' "$line"; done <"$file"
    echo
  done
  echo "== reserved"
  for file in /var/lib/cni/networks/*/*; do echo "${{file##*/}}"; done
  for file in {log}/displaced/*.text {state}/displaced/*.text; do
    [ -r "$file" ] || continue
    echo "== displaced $file"
    cat "$file"
  done
  for place in pending undoing; do
    [ -d {state}/$place ] || continue
    echo "== pending"
    read -r up _ </proc/uptime
    read_deadline {state}/$place
    echo "$place $((deadline - ${{up%.*}}))"
    (cd {state}/$place && cat run since who what machines)
  done
  if [ -r {state}/last/changes ] || [ -r {log}/owned ] || [ -r {log}/runs ]; then
    echo "== last"
    cat {state}/last/run {state}/last/machines {state}/last/changes {log}/owned {log}/runs
  fi
  echo "== networkd"
  [ ! -d /run/systemd/netif/links ] ||
    grep -E '^(ADMIN_STATE|NETWORK_FILE)=' /dev/null /run/systemd/netif/links/*
  echo "== networkmanager"
  [ ! -d /run/NetworkManager/devices ] ||
    grep -x managed=true /dev/null /run/NetworkManager/devices/*
  echo "== ifupdown"
  lines /run/network/ifstate
  echo "== systemd"
  [ ! -d /run/systemd/system ] || echo yes
  for file in {files}; do
    [ -r "$file" ] || continue
    echo "== file $file"
    tr -c '\n -~' '?' <"$file" | sed 's/^/|/'
  done
  echo "== answering"
  {strangers}
}} 2>/dev/null
"""
