"""Logging in as ssh(1) does: which keys a real sshd is shown, in which order, and what is said."""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import paramiko
import pytest
from fabric import Config

from tasks.common.errors import Stop
from tasks.inventory.model import Ssh
from tasks.ssh.fleet import Fleet
from tests.builders import cluster

pytestmark = pytest.mark.system

SSHD = """HostKey {dir}/host
AuthorizedKeysFile {dir}/authorized
TrustedUserCAKeys {dir}/ca.pub
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
MaxAuthTries 6
LogLevel VERBOSE
"""


@dataclass(frozen=True)
class Server:
    """A real sshd, which a ProxyCommand starts for each connection, and an operator's home."""

    dir: Path

    def key(self, name: str, *, accepted: bool = False, locked_with: str = "") -> Path:
        """A new key of the operator's."""
        path = self.dir / name
        keygen("-t", "ed25519", "-C", name, "-N", locked_with, "-f", path)
        if accepted:
            with (self.dir / "authorized").open("a") as file:
                file.write(path.with_suffix(".pub").read_text())
        return path

    def ask(self, config: str, key_file: Path | None = None, **options: object) -> str:
        """What a machine answers, or what is said of it."""
        proxy = f"ProxyCommand /usr/sbin/sshd -i -f {self.dir}/sshd_config -E {self.dir}/log\n"
        told = Config(
            ssh_config=paramiko.SSHConfig.from_text(f"Host *\n{proxy}{config}\n"),
            overrides=options,
        )
        ssh = Ssh(user="root", host_keys="off", key_file=key_file, known_hosts=self.dir / "known")
        fleet = Fleet(replace(cluster(1), ssh=ssh), told)
        try:
            return str(fleet.ask({"worker-0": "main() { echo in; }"})["worker-0"]).strip()
        finally:
            fleet.connection("worker-0").close()

    def log(self) -> str:
        return (self.dir / "log").read_text()


def keygen(*words: object) -> None:
    subprocess.run(["ssh-keygen", "-q", *map(str, words)], check=True)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    Path("/run/sshd").mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    for name in ("host", "ca"):
        keygen("-t", "ed25519", "-N", "", "-f", tmp_path / name)
    (tmp_path / "authorized").touch()
    (tmp_path / "sshd_config").write_text(SSHD.format(dir=tmp_path))
    return Server(tmp_path)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """An ssh-agent: a function adds a key to it; its socket."""
    path = tmp_path / "agent"
    with subprocess.Popen(
        ["ssh-agent", "-D", "-a", path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it listens

        def add(*keys: Path) -> Path:
            for key in keys:
                env = {**os.environ, "SSH_AUTH_SOCK": str(path)}
                subprocess.run(["ssh-add", "-q", key], env=env, check=True)
            return path

        yield add
        process.terminate()


def identity_files(*files: Path) -> str:
    return "".join(f"IdentityFile {file}\n" for file in files)


def test_files_are_tried_in_their_order(server: Server) -> None:
    wrong, right = server.key("wrong"), server.key("right", accepted=True)
    locked = server.key("locked", locked_with="horse")
    nowhere, broken = server.dir / "nowhere", server.dir / "sshd_config"
    both = [str(wrong), str(right)]
    assert server.ask(identity_files(wrong, right)) == "in"
    assert server.ask(identity_files(locked, nowhere, broken, right)) == "in"
    assert server.ask("", connect_kwargs={"key_filename": both}) == "in"
    assert server.ask("", authentication={"identities": [*map(Path, both)]}) == "in"
    assert server.ask(identity_files(right), key_file=wrong) == "in"
    assert server.ask(identity_files(right), connect_kwargs={"passphrase": "horse"}) == "in"
    assert server.ask(identity_files(wrong), key_file=right) == "in"
    assert server.log().count("Failed publickey") == 4


def test_where_none_works_all_are_listed(server: Server, agent: Callable[..., Path]) -> None:
    wrong, locked = server.key("wrong"), server.key("locked", locked_with="horse")
    socket = agent(held := server.key("held"))
    held.unlink()
    said = server.ask(identity_files(wrong, locked, server.dir / "nowhere"))
    assert f"refuses the key for user root: tried {wrong}; not tried: {locked}: the key has" in said
    assert "load it into ssh-agent, or add --prompt-for-passphrase in front of the task" in said
    assert f"{server.dir}/nowhere: there is no such file; check [ssh] user" in said
    said = server.ask(identity_files(wrong) + f"IdentityAgent {socket}")
    assert f'tried {wrong}, ssh-agent\'s ssh-ed25519 "held"' in said
    with pytest.raises(Stop, match=f"{locked}: the key has a passphrase, and there is no terminal"):
        server.ask(identity_files(locked))


@pytest.mark.parametrize("half", ["the public key", "its name", "a locked file"])
def test_a_public_half_finds_its_private_one_in_the_agent(
    server: Server, agent: Callable[..., Path], half: str
) -> None:
    right = server.key("node", accepted=True)
    socket = agent(*(server.key(f"other-{n}") for n in range(7)), right)
    if half == "a locked file":
        keygen("-p", "-N", "horse", "-f", right)
        right.with_suffix(".pub").unlink()
    else:
        right.unlink()
    file = right.with_suffix(".pub") if half == "the public key" else right
    one = f"IdentityAgent {socket}\n{identity_files(file)}"
    assert server.ask(one) == "in"
    assert server.ask(one + "IdentitiesOnly yes") == "in"
    assert "Failed publickey" not in server.log()


def test_no_more_of_the_agents_keys_than_asked_for(
    server: Server, agent: Callable[..., Path]
) -> None:
    wrong, right = server.key("wrong"), server.key("right", accepted=True)
    socket = f"IdentityAgent {agent(*(server.key(f'other-{n}') for n in range(7)), right)}\n"
    said = server.ask(socket + identity_files(wrong) + "IdentitiesOnly yes")
    assert f"tried {wrong};" in said
    said = server.ask(socket + identity_files(wrong))
    assert "and then ends the connection" in said
    assert said.count("other-") == 5
    assert server.ask(socket + identity_files(right)) == "in"


def test_a_key_that_the_agent_does_not_sign_with_is_one_of_several(
    server: Server, agent: Callable[..., Path]
) -> None:
    """The agent asks its user, who says no, or the token is not there."""
    mute, right = server.key("mute", accepted=True), server.key("right", accepted=True)
    socket = agent(right)
    env = {**os.environ, "SSH_AUTH_SOCK": str(socket), "SSH_ASKPASS": "/bin/false"}
    subprocess.run(["ssh-add", "-q", "-c", mute], env=env, check=True)
    mute.unlink()
    assert server.ask(f"IdentityAgent {socket}\n{identity_files(mute, right)}") == "in"
    said = server.ask(f"IdentityAgent {socket}\nIdentitiesOnly yes\n{identity_files(mute)}")
    assert f"tried {mute}" in said


@pytest.mark.parametrize("where", ["beside", "named"])
def test_a_certificate_and_the_key_alone(
    server: Server, agent: Callable[..., Path], where: str
) -> None:
    """A certificate that has expired is tried, and then the key; a valid one is enough."""
    for name, valid, accepted in ("old", "-2d:-1d", True), ("new", "-1d:+1d", False):
        key = server.key(name, accepted=accepted)
        keygen(
            *("-s", server.dir / "ca", "-I", "ann", "-n", "root", "-V", valid),
            key.with_suffix(".pub"),
        )
        config = identity_files(key)
        if where == "named":
            certificate = (server.dir / f"{name}-cert.pub").rename(server.dir / f"cert-of-{name}")
            config += f"CertificateFile {certificate}\n"
        assert server.ask(config) == "in"
        if name == "new":
            socket = agent(key)
            key.unlink()
            assert server.ask(f"IdentityAgent {socket}\n{config}") == "in"
    assert "expired" in server.log()


def test_a_passphrase_for_a_key_that_has_none(server: Server) -> None:
    right = server.key("right", accepted=True)
    assert server.ask("", right, connect_kwargs={"passphrase": "horse"}) == "in"
    locked = server.key("locked", accepted=True, locked_with="horse")
    assert server.ask("", locked, connect_kwargs={"passphrase": "horse"}) == "in"
    with pytest.raises(Stop, match="locked: the passphrase given is not that of this key"):
        server.ask("", locked, connect_kwargs={"passphrase": "donkey"})
