"""Gives a machine of a twin what its original holds: links, addresses, routes, rules, firewalls.

It runs inside the machine. What the snapshot says is data for ip(8), sysctl(8), iptables-restore(8)
and nft(8), and nothing of it is run. Then the kernel is asked what it holds: what differs from the
snapshot is told.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.common import values
from tasks.iproute.printed import neighbour_words, route_words, rule_words, same_route
from tasks.snapshots.gap import EVERY, Gap, few, of_route, of_rule
from tasks.snapshots.model import FAMILIES, Link, LinkAddress, State
from tasks.snapshots.read import read_links

from .design import Host
from .firewalls import load
from .kernel import ip_best, network_of, no_dad, run, run_best, set_value, start_network
from .wiring import port

OPERATOR = 1  # the process in whose network the other ends of links are
PATIENCE = 3.0  # seconds for links to see that their other ends are up
MOST_ALONE = 50  # commands that are run by themselves
MOST_KEPT = 200  # differences of a machine
LOCAL = "lo"
SPARE_METRIC = 4294967214


@dataclass(frozen=True)
class Copy:
    """A machine that is restored. `pod`: the pid of its pod. `differs`: where it is no copy."""

    pod: int | None
    differs: tuple[Gap, ...]


def restore(index: int, host: Host, state: State) -> Copy:
    """Give this network namespace what the original of a machine holds."""
    _settings(state.sysctls, lambda device: device in ("", "all", "default"))
    no_dad()
    far = start_network()
    _links(index, host, state, far)
    here = {link.name for link in state.links}
    _settings(state.sysctls, lambda device: device in here)
    _addresses(state)
    _far_ends(index, host, state, far)
    _wait_for(state.links)
    differs = [
        *_unlike(state),
        *map(Gap, load(state.firewalls)),
        *(gap for family in FAMILIES for gap in _routes(state, family)),
        *(gap for family in FAMILIES for gap in _rules(state, family)),
    ]
    differs += _neighbours(state)
    for nic in host.nics:
        # Such entries do not count against the limit that all machines here share: see _network.
        ip_best(*(f"neigh add {a} dev {nic.name} nud none extern_learn" for a in nic.neighbours))
    differs += _settings(state.sysctls, lambda device: device not in ("all", "default"))
    _files(state)
    return Copy(far, few(differs, MOST_KEPT))


def _files(state: State) -> None:
    """Write the files of kubelet, CNI and this tool, and who made the machine."""
    store = Path("/var/lib/cni/networks/copy")
    store.mkdir(parents=True)
    for address in state.reserved:
        (store / address).touch()
    for file in state.files:
        path = Path(file.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
    maker = Path("/sys/class/dmi/id")
    if maker.is_dir():
        (maker / "sys_vendor").write_text(" ".join(state.maker))


def _device(setting: str) -> str:
    """The device that a setting is of; empty where it is of none."""
    words = setting.split("/")
    return words[2] if words[1] == "conf" else ""


def _settings(sysctls: Mapping[str, str], of: Callable[[str], bool]) -> list[Gap]:
    """Write settings of some devices, those of all devices first. Returns those that differ."""
    order = {"": 0, "all": 1, "default": 2}
    chosen = [(name, value) for name, value in sysctls.items() if of(_device(name))]
    differs = []
    for name, value in sorted(chosen, key=lambda item: order.get(_device(item[0]), 3)):
        path = Path("/proc/sys/net", name)
        try:
            if path.read_text().strip() != value:
                set_value(name, value)
        except OSError:
            device = _device(name)
            of_all = device in ("all", "default")
            words = f"net.{name.replace('/', '.')} = {value}"
            differs.append(Gap(words, device="" if of_all else device))
    return differs


def _links(index: int, host: Host, state: State, far: int) -> None:
    """Make the links, then set what each is a port of."""
    nics = {nic.name: nic for nic in host.nics}
    links = {link.name: link for link in state.links}
    lines = []
    for number, link in enumerate(state.links):
        if link.name == LOCAL:
            continue
        # A bridge that is given its hardware address has no carrier before it has a port.
        portless = link.kind == "bridge" and not any(x.master == link.name for x in state.links)
        new = f"link add {_new(replace(link, mac='') if portless and link.carrier else link)}"
        peer = links.get(link.peer)
        if link.kind == "bridge":
            lines.append(f"{new} type bridge")
        elif peer is not None:
            lines.append(f"{new} type veth peer {_new(peer)}")
        elif link.name in nics:
            end = port(index, nics[link.name])
            lines.append(f"{new} type veth peer name {end} mtu {link.mtu} netns {OPERATOR}")
        else:
            lines.append(f"{new} type veth peer name far{number} mtu {link.mtu} netns {far}")
        lines.append(f"link set dev {link.name} addrgenmode none")
    lines += [f"link set dev {x.name} master {x.master}" for x in state.links if x.master in links]
    # A bridge follows the MTU of its ports until its own is set.
    lines += [f"link set dev {x.name} mtu {x.mtu}" for x in state.links if x.name not in nics]
    ip_best(*lines)


def _new(link: Link) -> str:
    mac = f" address {link.mac}" if link.mac else ""
    return f"name {link.name} index {link.index}{mac} mtu {link.mtu}"


def _addresses(state: State) -> None:
    """Add the addresses, then set the links up that are."""
    lines = [f"addr add {_address(a)} dev {x.name}" for x in state.links for a in x.addresses]
    # The kernel itself gives lo its first addresses when that is set up.
    up = [f"link set dev {link.name} up" for link in state.links if link.up]
    ip_best(*up, *lines)


def _address(of: LinkAddress) -> str:
    own = values.interface(of.local)
    words = [f"{own.ip} peer {of.peer}/{own.network.prefixlen}" if of.peer else of.local]
    words += [f"broadcast {of.broadcast}"] if of.broadcast else []
    words += [f"label {of.label}"] if of.label else []
    words += [f"scope {of.scope}"] if own.version == 4 else ["nodad"]
    words += [f"metric {of.metric}"] if of.metric else []
    words += ["noprefixroute"] if of.noprefixroute else []
    return " ".join(words)


def _far_ends(index: int, host: Host, state: State, far: int) -> None:
    """Set the other ends of links up, and join them to the networks between the machines."""
    links = {link.name: link for link in state.links}
    ends = [(port(index, nic), nic) for nic in host.nics]
    with network_of(OPERATOR):
        ip_best(
            *(f"link set dev {end} master {nic.bridge}" for end, nic in ends if nic.bridge),
            *(f"link set dev {end} up" for end, nic in ends if _carrier(links[nic.name])),
        )
    elsewhere = [
        (f"far{number}", link)
        for number, link in enumerate(state.links)
        if link.name not in {LOCAL, *(nic.name for nic in host.nics)}
        and link.kind != "bridge"
        and link.peer not in links
    ]
    pod = list(_pod(state, [(end, link) for end, link in elsewhere if link.kind == "veth"]))
    with network_of(far):
        ip_best(*(f"link set dev {end} up" for end, link in elsewhere if _carrier(link)), *pod)


def _carrier(link: Link) -> bool:
    """Whether the other end of a link is up. Of a link that is down nothing tells."""
    return link.carrier or not link.up


def _pod(state: State, ports: Sequence[tuple[str, Link]]) -> Iterator[str]:
    """The commands that make a pod of the first end of a port that has a bridge with addresses.

    The pod has an address that the store of the host-local plugin reserves for pods there.
    """
    bridges = {
        link.name: [values.interface(address.local) for address in link.addresses]
        for link in state.links
        if link.kind == "bridge"
    }
    for end, link in ports:
        own = bridges.get(link.master, [])
        found = {
            bridge.version: (ip, bridge)
            for ip in map(values.address, reversed(state.reserved))
            for bridge in own
            if ip.version == bridge.version and ip in bridge.network and ip != bridge.ip
        }
        if found:
            yield f"link set dev {end} name eth0"
            yield "link set dev eth0 up"
            for ip, bridge in found.values():
                yield f"addr add {ip}/{bridge.network.prefixlen} dev eth0"
                yield f"route add default via {bridge.ip} dev eth0"
            return


def _wait_for(links: Iterable[Link]) -> None:
    """Wait until the links have seen that their other ends are up. Some may never."""
    waiting = [f"/sys/class/net/{link.name}/operstate" for link in links if link.up & link.carrier]
    deadline = time.monotonic() + PATIENCE
    while waiting and time.monotonic() < deadline:
        waiting = [path for path in waiting if _text(path) not in ("up\n", "unknown\n", "")]
        time.sleep(0.005)


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # the link could not be made
        return ""


def _routes(state: State, family: int) -> list[Gap]:
    """Make the routes those of the original, in every table. Returns those that differ."""
    wanted = Counter(same_route(line) for line in state.tables(family).routes)
    # IPv4 may have several routes of one prefix and metric, and IPv6 would make one of them.
    add = "append" if family == 4 else "add"
    for ways in ([], _ways(wanted)):
        lacking, extra = _difference(wanted, _routes_now(family))
        ip_best(
            *(f"route del {route_words(line)}" for line in extra),
            *(f"route add {way}" for way in ways),
            *(f"route {add} {route_words(line)}" for line in sorted(lacking, key=_has_gateway)),
            family=family,
        )
        ip_best(*(f"route del {way}" for way in ways), family=family)
    lacking, _ = _difference(wanted, _routes_now(family))
    _one_by_one(family, [f"route {add} {route_words(line)}" for line in lacking])
    lacking, extra = _difference(wanted, _routes_now(family))
    return [
        *(of_route(family, r, f"without the route {r}") for r in lacking),
        *(of_route(family, r, f"has the route {r}") for r in extra),
    ]


def _one_by_one(family: int, lines: Sequence[str]) -> None:
    """Run a few commands of ip(8) by themselves: one with a mistake has ended the batch of all."""
    for line in lines[:MOST_ALONE]:
        run_best(["ip", f"-{family}", *line.split()])


def _ways(lines: Iterable[str]) -> list[str]:
    """A route to each gateway: the original may have lost the one over which it was on a link."""
    found: dict[str, None] = {}
    for line in lines:
        words = line.split()
        for at, word in enumerate(words[:-3]):
            if word == "via" and words[at + 2] == "dev":
                found[f"{words[at + 1]} dev {words[at + 3]} metric {SPARE_METRIC}"] = None
    return list(found)


def _has_gateway(line: str) -> bool:
    return " via " in line


def _routes_now(family: int) -> Iterable[str]:
    listing = ("route", "show", "table", "all", "root", EVERY[family])
    return map(same_route, _shown(family, listing))


def _rules(state: State, family: int) -> list[Gap]:
    """Make the policy rules those of the original. Returns those that differ."""
    wanted = Counter(map(rule_words, state.tables(family).rules))
    lacking, extra = _difference(wanted, map(rule_words, _shown(family, ("rule", "show"))))
    ip_best(
        *(f"rule add {words}" for words in lacking),
        *(f"rule del {words}" for words in extra),
        family=family,
    )
    lacking, _ = _difference(wanted, map(rule_words, _shown(family, ("rule", "show"))))
    _one_by_one(family, [f"rule add {words}" for words in lacking])
    lacking, extra = _difference(wanted, map(rule_words, _shown(family, ("rule", "show"))))
    words = [*(f"without the rule {r}" for r in lacking), *(f"has the rule {r}" for r in extra)]
    return [of_rule(family, "", said) for said in words]


def _neighbours(state: State) -> list[Gap]:
    """Make the permanent and the proxy entries. Returns those that differ."""
    wanted = Counter(map(neighbour_words, state.neighbours))
    for words in wanted:
        run_best(["ip", "neigh", "replace", *words.split()])  # a batch ends at one that fails
    now = run(["ip", "neigh", "show", "nud", "permanent"]) + run(["ip", "neigh", "show", "proxy"])
    lines = [line for line in now.splitlines() if "PERMANENT" in line or line.endswith("proxy ")]
    lacking, _ = _difference(wanted, map(neighbour_words, lines))
    return [Gap(f"without the neighbour {words}") for words in lacking]


def _unlike(state: State) -> Iterator[Gap]:
    """What differs of links and addresses. A link that stands in for another kind may."""
    now = {link.name: link for link in read_links(run(["ip", "-json", "-d", "address", "show"]))}
    for link in state.links:
        made = now.get(link.name)
        if made is None:
            yield Gap(f"without the link {link.name}")
            continue
        for what in ("mtu", "up", "master"):
            was, is_now = getattr(link, what), getattr(made, what)
            if was != is_now:
                words = f"{link.name} has {what} {is_now or 'none'}, not {was or 'none'}"
                yield Gap(words, device=link.master or link.name)
        addresses = {address.local for address in made.addresses}
        for address in link.addresses:
            if address.local not in addresses:
                yield Gap(f"without the address {address.local} of {link.name}")


def _shown(family: int, listing: Sequence[str]) -> list[str]:
    return run(["ip", "-N", "-details", "-oneline", f"-{family}", *listing]).splitlines()


def _difference(wanted: Counter[str], now: Iterable[str]) -> tuple[list[str], list[str]]:
    """What is lacking, and what is there besides, in the order of each."""
    found = Counter(now)
    return list((wanted - found).elements()), list((found - wanted).elements())
