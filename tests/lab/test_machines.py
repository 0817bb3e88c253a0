"""Machines as they are: other users, shells, ports, jump hosts, and machines in trouble."""

import fcntl
import os
import pty
import subprocess
import termios
from dataclasses import replace
from ipaddress import ip_address

import pytest

from tasks.inventory.model import Ssh
from tests.paths import FAB

from .conftest import KEY, Lab, MakeLab, hosts_toml, tutorial
from .kit import ok, on

ALL = ("plan", "apply-routes", "verify", "rollback")


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    return make_lab(tutorial())


def logins(lab: Lab, machine: str) -> int:
    """How many logins a machine's sshd has accepted."""
    return on(lab, machine, "cat /var/log/sshd.log").count("Accepted publickey")


def test_one_handshake_a_machine_serves_a_whole_command_line(lab: Lab) -> None:
    before = {m.name: logins(lab, m.name) for m in lab.cluster.machines}
    ok(lab.fab(*ALL))
    assert {name: logins(lab, name) - number for name, number in before.items()} == dict.fromkeys(
        before, 1
    )


@pytest.mark.parametrize("shell", ["zsh", "tcsh", "fish", "dash"])
def test_a_login_shell_that_is_not_bash(lab: Lab, shell: str) -> None:
    for machine in lab.cluster.machines:
        on(lab, machine.name, f"usermod --shell $(command -v {shell}) root")
    ok(lab.fab(*ALL))


def test_rc_files_that_print(lab: Lab) -> None:
    on(
        lab,
        "worker-1",
        "printf 'echo; printf \"== route 4\\\\nWelcome back\"; echo oops >&2\\n' >/root/.bashrc",
    )
    assert "Welcome" in on(lab, "worker-1", "bash -c '. /root/.bashrc'")
    ok(lab.fab(*ALL))


@pytest.fixture
def users_lab(make_lab: MakeLab) -> Lab:
    """Machines that are logged in to as a user who may use sudo without a password."""
    return make_lab(replace(tutorial(), ssh=Ssh(user="ops")))


def test_another_user_goes_through_sudo(users_lab: Lab) -> None:
    before = users_lab.tables()
    ok(users_lab.fab(*ALL))
    assert users_lab.tables() == before
    # What such a sudo starts can run nothing once the login has ended, and so no watchdog.
    for logs in ("log_subcmds", "log_subcmds,intercept_type=dso"):
        on(users_lab, "worker-1", f"echo 'Defaults {logs}' >/etc/sudoers.d/subcommands")
        assert "sudo follows all that it starts" in ok(users_lab.fab("apply-routes"), status=1)
        assert users_lab.tables() == before


def test_an_sshd_that_turns_logins_away_is_asked_again(lab: Lab) -> None:
    """MaxStartups of sshd_config(5): somebody else is at its door, and goes away."""
    few = "s/^MaxStartups.*/MaxStartups 1:100:1/"
    on(lab, "worker-1", f"sed -i '{few}' /etc/ssh/sshd_config; kill -HUP $(cat /run/sshd.pid)")
    knock = "until { exec 3<>/dev/tcp/203.0.113.11/22; } 2>/dev/null; do sleep 0.05; done"
    door = ["timeout", "60", "bash", "-c", f"{knock}; head -n 1 <&3; read -r _"]
    turned_away = (
        "timeout 30 sh -c 'until grep -q drop.connection /var/log/sshd.log; do sleep 0.05; done'"
    )
    with subprocess.Popen(
        [*lab.inside, *door], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as at_the_door:
        assert at_the_door.stdout is not None
        assert at_the_door.stdout.readline().startswith("SSH-2.0")
        with lab.popen("plan") as fab:
            on(lab, "worker-1", turned_away)
            at_the_door.communicate("\n")
            out, err = fab.communicate(timeout=60)
    assert fab.returncode == 0, err
    assert "3 machines: 6 to add" in out


def test_an_sshd_with_one_session_at_a_time_is_told_of(lab: Lab) -> None:
    """MaxSessions of sshd_config(5): pings run beside the change that waits for them."""
    one = "sed -i '/^MaxSessions/d; $ a MaxSessions 1' /etc/ssh/sshd_config"
    on(lab, "worker-1", f"{one}; kill -HUP $(cat /run/sshd.pid)")
    before = lab.tables()
    done = lab.fab("apply-routes")
    assert "the pings after the change failed" in ok(done, status=3)
    assert "set MaxSessions" in done.stderr
    assert "MaxSessions" not in on(lab, "worker-0", "cat /var/lib/pod-routes/history")
    assert lab.tables() == before
    ok(lab.fab("apply-routes", "--no-ping", "verify", "rollback", "--no-ping"))
    assert lab.tables() == before


def with_password(lab: Lab) -> None:
    for machine in lab.cluster.machines:
        on(
            lab,
            machine.name,
            "echo ops:fa1rly-secret | chpasswd; sed -i s/NOPASSWD:// /etc/sudoers.d/*",
        )


def prompted(lab: Lab, prompt: str, secret: str, *arguments: str) -> tuple[int, str]:
    """Run fab in a terminal, and type a secret when it asks for that."""
    leader, follower = pty.openpty()
    with lab.popen(
        *arguments,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    ) as fab:
        os.close(follower)
        said = ""
        typed = False
        while True:
            try:
                said += os.read(leader, 65536).decode()
            except OSError:
                break  # its end has hung up
            if prompt in said and not typed:
                os.write(leader, f"{secret}\n".encode())
                typed = True
    os.close(leader)
    return fab.returncode, said


def test_sudo_with_a_password(users_lab: Lab) -> None:
    with_password(users_lab)
    asking = ("--prompt-for-sudo-password", *ALL)
    on(users_lab, "worker-1", "echo export LC_ALL=C.UTF-8 LANGUAGE=de >~ops/.bashrc")
    german = on(users_lab, "worker-1", "runuser -l ops -c '. ~/.bashrc; sudo -n true' 2>&1 || :")
    assert "Passwort" in german
    without = users_lab.fab("plan")
    assert "worker-0, worker-1, worker-2: sudo wants a password: add --prompt" in without.stderr
    ok(without, status=1)
    status, said = prompted(users_lab, "sudo.password", "fa1rly-secret", *asking)
    assert status == 0, said
    assert "6 of 6 pairs" in said
    assert "fa1rly-secret" not in said
    status, said = prompted(users_lab, "sudo.password", "a-wrong-one", *asking)
    assert status == 1, said
    assert "sudo does not accept the password" in said
    assert "a-wrong-one" not in said
    debugging = ("--debug", "--prompt-for-sudo-password", "plan")
    status, said = prompted(users_lab, "sudo.password", "fa1rly-secret", *debugging)
    assert status == 0, said
    assert "worker-0 < == address" in said
    assert "fa1rly-secret" not in said


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_that_echoes_commands_is_not_told_the_password(users_lab: Lab, shell: str) -> None:
    """Where sudo wants none, what looks like its prompt is an echo, and whoever listens is root."""
    listening = '#!/bin/sh\ntee -a /var/tmp/received | /usr/bin/sudo "$@"\n'
    rc = {"bash": ".bashrc", "zsh": ".zshenv"}[shell]
    on(
        users_lab,
        "worker-1",
        f"usermod --shell $(command -v {shell}) ops; printf 'set -xv\n' >~ops/{rc};"
        f"printf '%s' '{listening}' >/usr/local/bin/sudo; chmod 755 /usr/local/bin/sudo;"
        "touch /var/tmp/received; chmod 666 /var/tmp/received",
    )
    echoed = ["runuser", "-u", "ops", "--", "env", "SSH_CLIENT=1 1 1", "HOME=/home/ops", shell]
    assert "echo" in users_lab.twin.run("worker-1", [*echoed, "-c", "echo one"]).stderr
    asking = ("--prompt-for-sudo-password", "plan")
    status, said = prompted(users_lab, "sudo.password", "fa1rly-secret", *asking)
    assert status == 0, said
    received = on(users_lab, "worker-1", "cat /var/tmp/received")
    assert "main()" in received
    assert "fa1rly-secret" not in received + said


def test_strict_checking_in_ssh_config_counts(lab: Lab) -> None:
    (lab.home / ".ssh").mkdir()
    config = "Host 203.0.113.11\n  StrictHostKeyChecking yes\n"
    (lab.home / ".ssh/config").write_text(config)
    done = lab.fab("plan")
    ok(done, status=1)
    assert "1 of 3 machines cannot be asked" in done.stderr
    assert "is not known (ssh_config: StrictHostKeyChecking yes)" in done.stderr


def test_stdin_closed_as_under_cron(users_lab: Lab) -> None:
    done = subprocess.run(
        [*users_lab.inside, "sh", "-c", 'exec "$@" <&-', "sh", *FAB, *ALL],
        cwd=users_lab.dir,
        env={"HOME": str(users_lab.home), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    ok(done)


def test_another_port(make_lab: MakeLab) -> None:
    ok(make_lab(replace(tutorial(), ssh=Ssh(port=2222))).fab(*ALL))


def test_a_jump_host_carries_all_over_one_connection(make_lab: MakeLab) -> None:
    four = tutorial()
    bastion = replace(
        four.machines[0],
        name="bastion",
        role="controller",
        public_ip="203.0.113.99",
        internal_ips=(ip_address("10.240.0.99"),),
        pod_cidrs=(),
    )
    lab = make_lab(replace(four, machines=(*four.machines, bastion)))
    text = lab.cluster.path.read_text()
    lab.cluster.path.write_text(text[: text.index("[[controllers]]")])
    for machine in four.machines:
        on(lab, machine.name, "iptables -A INPUT -p tcp --dport 22 ! -s 203.0.113.99 -j DROP")
    (lab.home / ".ssh").mkdir()
    (lab.home / ".ssh/config").write_text(
        "Host jump\n  HostName 203.0.113.99\n"
        f"Host jump 2001:db8:5::b\n  User root\n  IdentityFile {lab.dir / KEY}\n"
        "Host 203.0.113.1?\n  ProxyJump jump\n"
    )
    ok(lab.fab(*ALL))
    assert logins(lab, "bastion") == 1
    on(lab, "bastion", "ip addr add 2001:db8:5::b/64 dev eth0 nodad")
    ours = "dev=$(ip -o addr show to 203.0.113.1 | cut -d' ' -f2)"
    six = f"{ours}; ip addr add 2001:db8:5::1/64 dev $dev nodad"
    subprocess.run([*lab.inside, "sh", "-c", six], check=True)
    config = lab.home / ".ssh/config"
    config.write_text(config.read_text().replace("ProxyJump jump", "ProxyJump [2001:db8:5::b]:22"))
    ok(lab.fab("plan"))
    config.write_text(config.read_text().replace("[2001:db8:5::b]:22", "jump"))
    on(lab, "bastion", "iptables -A INPUT -p tcp --dport 22 -j REJECT")
    down = lab.fab("-t", "2", "plan")
    ok(down, status=1)
    assert "\n  worker-0, worker-1, worker-2: jump host 203.0.113.99" in down.stderr
    config.write_text(config.read_text().replace("ProxyJump jump", "ProxyJump jump,203.0.113.98"))
    behind = lab.fab("-t", "2", "plan")
    ok(behind, status=1)
    assert "\n  worker-0, worker-1, worker-2: jump host 203.0.113.99" in behind.stderr


def test_an_sshd_that_does_not_know_where_one_comes_from(lab: Lab) -> None:
    """`sshd -i` behind a program has no socket: SSH_CONNECTION is UNKNOWN 65535 UNKNOWN 65535."""
    (lab.home / ".ssh").mkdir()

    def through_programs(*machines: str) -> None:
        ways = [(m, lab.twin.inside(m.name)) for m in lab.cluster.machines if m.name in machines]
        (lab.home / ".ssh/config").write_text(
            "".join(
                f"Host {m.public_ip}\n  ProxyCommand {' '.join(way)} /usr/sbin/sshd -i\n"
                for m, way in ways
            )
        )

    through_programs("worker-1")
    done = lab.fab("apply-routes", "rollback")
    ok(done)
    assert "from where you are logged in" not in done.stderr
    through_programs("worker-0", "worker-1", "worker-2")
    done = lab.fab(*ALL)
    ok(done)
    assert (
        done.stderr.count("worker-0, worker-1, worker-2: sshd there does not say from where") == 2
    )
    assert "UNKNOWN" not in ok(lab.fab("history"))


TROUBLE = {
    "hangs": ("kill -STOP $(cat /run/sshd.pid)", "does not answer within 2 s"),
    "is not listening": ("kill $(cat /run/sshd.pid)", "connection refused"),
    "refuses the key": ("echo >/etc/ssh/authorized_keys", "refuses the key for user root"),
    "has no flock": ("rm $(command -v flock)", "flock not found there: install util-linux"),
    "has BusyBox's ping": (
        "ln -s /bin/busybox /usr/local/sbin/ping",
        "ping with the options -I, -M and -O not found there: install iputils-ping",
    ),
    "has BusyBox's ip and flock": (
        "for name in ip flock; do ln -s /bin/busybox /usr/local/sbin/$name; done",
        "worker-1: flock of util-linux, ip of iproute2 5.2 or newer not found there:"
        " install util-linux iproute2",
    ),
    "has no ip": (
        "mv /usr/bin/ip /root; mv /usr/sbin/ip /root; rm -f /bin/ip /sbin/ip; true",
        "worker-1: ip not found there: install iproute2",
    ),
    "lets nobody in": ("usermod --shell /usr/sbin/nologin root", "no shell answers there"),
    "has another pod CIDR": (
        "sed -i s/10.200.1.0/10.200.77.0/ /var/lib/kubelet/kubelet-config.yaml",
        "pod CIDR is 10.200.1.0/24 in hosts.toml, but 10.200.77.0/24 in"
        " /var/lib/kubelet/kubelet-config.yaml",
    ),
    "has another bridge": (
        "ip addr add 10.200.78.1/24 dev cnio0",
        "pod CIDR is 10.200.1.0/24 in hosts.toml, but 10.200.78.0/24 in the address of cnio0",
    ),
    "has another internal IP": (
        "ip addr del 10.240.0.7/24 dev enp6s0; ip addr add 10.240.0.70/24 dev enp6s0",
        "internal_ip 10.240.0.7 is not one of its addresses (it has 203.0.113.11, 10.240.0.70)",
    ),
}


@pytest.mark.parametrize(("command", "line"), TROUBLE.values(), ids=TROUBLE.keys())
def test_a_machine_in_trouble_gets_one_clear_line(lab: Lab, command: str, line: str) -> None:
    on(lab, "worker-1", command)
    before = {
        m: lab.twin.run(m, ["cat", "/proc/net/route"]).stdout for m in ("worker-0", "worker-2")
    }
    done = lab.fab("-t", "2", "apply-routes")
    ok(done, status=1)
    about = [text for text in done.stderr.splitlines() if "worker-1" in text]
    assert len(about) == 1, done.stderr
    assert line in about[0]
    assert before == {m: lab.twin.run(m, ["cat", "/proc/net/route"]).stdout for m in before}


def test_a_next_hop_that_is_not_on_a_link(lab: Lab) -> None:
    on(
        lab,
        "worker-0",
        "ip addr del 10.240.0.6/24 dev enp6s0; ip addr add 10.240.0.6/32 dev enp6s0;"
        " ip route add 10.240.0.1 dev enp6s0; ip route add 10.240.0.0/24 via 10.240.0.1",
    )
    before = lab.tables()
    done = lab.fab("apply-routes")
    assert "worker-1's internal IP 10.240.0.7 is not on a link of this machine" in ok(done, 1)
    assert lab.tables() == before


def test_what_is_left_out_is_found_on_the_machines(make_lab: MakeLab) -> None:
    cluster = tutorial()
    lab = make_lab(cluster)
    bare = [replace(m, internal_ips=(), pod_cidrs=()) for m in cluster.machines]
    lab.cluster.path.write_text(hosts_toml(replace(lab.cluster, machines=tuple(bare))))
    before = lab.tables()
    assert "6 added" in ok(lab.fab("apply-routes"))
    ok(lab.fab("verify", "rollback"))
    assert lab.tables() == before


def test_a_host_key_that_changed_is_refused_loudly(lab: Lab) -> None:
    toml = lab.cluster.path
    toml.write_text(toml.read_text().replace('host_keys = "off"', 'host_keys = "accept-new"'))
    ok(lab.fab("plan"))
    known = (lab.dir / "known_hosts").read_text()
    assert len(known.splitlines()) == 3
    ok(lab.fab("plan"))
    assert (lab.dir / "known_hosts").read_text() == known
    lines = known.splitlines()
    swapped = [lines[0].split()[0] + " " + " ".join(lines[1].split()[1:]), *lines[1:]]
    (lab.dir / "known_hosts").write_text("\n".join(swapped) + "\n")
    done = lab.fab("plan")
    ok(done, status=1)
    assert "HOST KEY HAS CHANGED" in done.stderr
    assert done.stderr.count("SHA256:") == 2


def test_a_key_with_a_passphrase_and_nobody_to_ask(lab: Lab) -> None:
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "horse", "-f", lab.dir / KEY], check=True)
    done = lab.fab("plan")
    ok(done, status=1)
    assert "passphrase" in done.stderr


def test_a_passphrase_is_asked_for_once(lab: Lab) -> None:
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "horse", "-f", lab.dir / KEY], check=True)
    status, said = prompted(lab, "Passphrase for", "horse", "plan", "plan")
    assert status == 0, said
    assert said.count("Passphrase for") == 1
    assert "6 to add" in said
    status, said = prompted(lab, "Passphrase for", "donkey", "plan")
    assert status == 1, said
    assert "that is not its passphrase" in said


def test_a_key_that_only_the_agent_has(lab: Lab) -> None:
    key = lab.dir / KEY
    socket = lab.dir / "agent"
    with subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL
    ) as agent:
        try:
            subprocess.run(
                ["timeout", "10", "sh", "-c", f"until [ -S {socket} ]; do :; done"], check=True
            )
            subprocess.run(
                ["ssh-add", "-q", key], env={**os.environ, "SSH_AUTH_SOCK": str(socket)}, check=True
            )
            key.unlink()
            toml = lab.cluster.path
            lines = toml.read_text().splitlines(keepends=True)
            toml.write_text("".join(line for line in lines if not line.startswith("key_file")))
            ok(lab.fab(*ALL, SSH_AUTH_SOCK=str(socket)))
            assert "no key to log in with" in lab.fab("plan").stderr
        finally:
            agent.terminate()
