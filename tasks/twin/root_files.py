"""The files of a twin's machines: accounts, and the configuration of sshd, kubelet and CNI."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from tasks.common import values

from .design import Host, Spec

# A machine sees these directories of the host: programs and their settings, and no user's data.
KEPT = {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc"}
KEPT_IN_ETC = {
    *("alternatives", "bash.bashrc", "csh.cshrc", "debian_version", "ethertypes", "fish"),
    *("gai.conf", "host.conf", "inputrc", "iproute2", "ld.so.cache", "ld.so.conf"),
    *("ld.so.conf.d", "locale.alias", "localtime", "login.defs", "mtab", "networks"),
    *("os-release", "pam.conf", "pam.d", "profile", "protocols", "rpc", "security", "services"),
    *("shells", "terminfo", "xattr.conf", "zsh"),
}
DIRECTORIES = {
    **dict.fromkeys(("boot", "dev", "home", "media", "mnt", "opt", "proc", "run"), 0o755),
    **dict.fromkeys(("srv", "sys", "var/cache", "var/lib/cni", "var/log", "var/spool"), 0o755),
    **dict.fromkeys(("tmp", "var/tmp"), 0o1777),
    "root": 0o700,
}
LINKS = {"var/run": "/run", "var/lock": "/run/lock"}
USER_ID = 1000


@dataclass(frozen=True)
class File:
    """The text of a file, and its mode."""

    text: str
    mode: int = 0o644


def common(spec: Spec, client_key: str, settings: tuple[str, ...] = ()) -> dict[str, File]:
    """The files that all machines share, by path relative to the root.

    `client_key`: the public key that may log in. `settings`: more lines for sshd_config.
    """
    sshd = (
        f"Port {spec.port}",
        "HostKey /etc/ssh/ssh_host_ed25519_key",
        "PidFile /run/sshd.pid",
        "AuthorizedKeysFile /etc/ssh/authorized_keys",
        f"AllowUsers root {_pattern(spec.user)}",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UsePAM no",
        "UseDNS no",
        "PrintMotd no",
        "MaxStartups 1000",
        "AcceptEnv LANG LC_*",
        "Subsystem sftp internal-sftp",
        *settings,
    )
    hosts = [f"{address} {host.name}" for host in spec.hosts for address in _addresses(host)]
    files = {
        "etc/hosts": File(_lines("127.0.0.1 localhost", "::1 localhost", *hosts)),
        "etc/nsswitch.conf": File(
            _lines("passwd: files", "group: files", "shadow: files", "hosts: files")
        ),
        "etc/resolv.conf": File(""),
        "etc/sysctl.d/README.sysctl": File(_lines("# Settings to be read by sysctl(8).")),
        "etc/ssh/sshd_config": File(_lines(*sshd)),
        "etc/ssh/authorized_keys": File(_lines(client_key)),
        "etc/sudoers": File(
            _lines(
                "Defaults env_reset, use_pty",
                "Defaults secure_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "root ALL=(ALL:ALL) ALL",
                "%sudo ALL=(ALL:ALL) ALL",
                "@includedir /etc/sudoers.d",
            ),
            0o440,
        ),
    }
    if spec.user != "root":
        files["etc/sudoers.d/twin"] = File(_lines(f"#{USER_ID} ALL=(ALL:ALL) NOPASSWD: ALL"), 0o440)
    return files


def accounts(user: str, passwd: str, group: str) -> dict[str, File]:
    """The account files: the host's system accounts, root, and the user that logs in.

    No account accepts a password. None is locked, because sshd refuses keys of locked accounts.
    """
    kept = [line for line in passwd.splitlines() if _system(line) and _name(line) != user]
    users = ["root:x:0:0:root:/root:/bin/bash", *(line for line in kept if _name(line) != "root")]
    groups = [
        f"{line.rpartition(':')[0]}:"  # without its members
        for line in group.splitlines()
        if _system(line) and _name(line) != user
    ]
    if user != "root":
        users.append(f"{user}:x:{USER_ID}:{USER_ID}::/home/{user}:/bin/bash")
        groups.append(f"{user}:x:{USER_ID}:")
    return {
        "etc/passwd": File(_lines(*users)),
        "etc/group": File(_lines(*groups)),
        "etc/shadow": File(_lines(*(f"{_name(u)}:*:19000:0:99999:7:::" for u in users)), 0o640),
        "etc/gshadow": File(_lines(*(f"{_name(g)}:*::" for g in groups)), 0o640),
    }


def own(host: Host) -> dict[str, File]:
    """The files of one machine: its name, and on a worker the configuration of kubelet and CNI."""
    files = {
        "etc/hostname": File(_lines(host.name)),
        "etc/machine-id": File(
            _lines(hashlib.sha256(f"{host.name} {host.address}".encode()).hexdigest()[:32])
        ),
    }
    if host.state is None and host.pod_cidrs:
        files |= {
            "var/lib/kubelet/kubelet-config.yaml": File(_kubelet(host.pod_cidrs[0])),
            "etc/cni/net.d/10-bridge.conf": File(_cni_bridge(host.pod_cidrs)),
            "etc/cni/net.d/99-loopback.conf": File(
                _json({"cniVersion": "0.3.1", "name": "lo", "type": "loopback"})
            ),
        }
    return files


def write(files: dict[str, File], root: Path) -> None:
    """Write files below a directory."""
    for name, file in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)
        path.chmod(file.mode)


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def _json(value: object) -> str:
    return json.dumps(value, indent=4) + "\n"


def _pattern(user: str) -> str:
    """A pattern of sshd_config for the user. Characters with a meaning there become "?"."""
    return re.sub(r"[^A-Za-z0-9_.-]", "?", user)


def _name(line: str) -> str:
    return line.partition(":")[0]


def _system(line: str) -> bool:
    """Whether a line of passwd or group is of a system account, not of a person."""
    fields = line.split(":")
    return len(fields) > 2 and fields[2].isdigit() and not USER_ID <= int(fields[2]) < 65534


def _addresses(host: Host) -> tuple[str, ...]:
    return host.internal_ips or (host.address,)


def _kubelet(pod_cidr: str) -> str:
    return _lines(
        "kind: KubeletConfiguration",
        "apiVersion: kubelet.config.k8s.io/v1beta1",
        "authentication:",
        "  anonymous:",
        "    enabled: false",
        "  webhook:",
        "    enabled: true",
        'clusterDomain: "cluster.local"',
        "clusterDNS:",
        '  - "10.32.0.10"',
        f'podCIDR: "{pod_cidr}"',
        'resolvConf: "/run/systemd/resolve/resolv.conf"',
        'runtimeRequestTimeout: "15m"',
    )


def _cni_bridge(pod_cidrs: tuple[str, ...]) -> str:
    everywhere = {4: "0.0.0.0/0", 6: "::/0"}
    return _json(
        {
            "cniVersion": "0.3.1",
            "name": "bridge",
            "type": "bridge",
            "bridge": "cnio0",
            "isGateway": True,
            "ipMasq": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": cidr}] for cidr in pod_cidrs],
                "routes": [{"dst": everywhere[values.network(c).version]} for c in pod_cidrs],
            },
        }
    )
