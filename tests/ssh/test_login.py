"""Keys of the operator's, as ssh-keygen(1) makes them."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fabric import Config, Connection

from tasks.common.errors import Stop
from tasks.inventory.model import Machine, Ssh
from tasks.ssh import keys, login
from tasks.ssh.connection import PROXY_FILES
from tasks.ssh.known_hosts import HostKeyRefused
from tests.builders import cluster

KINDS = {
    "ed25519": ("ed25519",),
    "ecdsa": ("ecdsa", "-b", "384"),
    "rsa": ("rsa", "-b", "2048"),
    "pem": ("rsa", "-b", "2048", "-m", "PEM"),
}


def made(path: Path, kind: str, passphrase: str) -> Path:
    """A new key in a file."""
    words = ["ssh-keygen", "-q", "-N", passphrase, "-f", str(path), "-t", *KINDS[kind]]
    subprocess.run(words, check=True)
    return path


@pytest.mark.system
@pytest.mark.parametrize("passphrase", ["", "correct horse"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_key_signs_what_its_public_half_verifies(
    tmp_path: Path, kind: str, passphrase: str
) -> None:
    file = made(tmp_path / "key", kind, passphrase)
    key = keys.load(file, passphrase or None)
    name, public, *_ = file.with_suffix(".pub").read_text().split()
    assert (key.get_name(), key.get_base64()) == (name, public)
    own = paramiko.PKey.from_type_string(name, key.asbytes())
    assert own.verify_ssh_sig(b"said", paramiko.Message(key.sign_ssh_data(b"said").asbytes()))
    assert not own.verify_ssh_sig(b"else", paramiko.Message(key.sign_ssh_data(b"said").asbytes()))


@pytest.mark.system
@pytest.mark.parametrize("kind", KINDS)
def test_a_passphrase_that_is_missing_or_wrong_is_told_from_a_broken_file(
    tmp_path: Path, kind: str
) -> None:
    file = made(tmp_path / "key", kind, "correct horse")
    for passphrase in (None, "battery"):
        with pytest.raises(keys.Encrypted):
            keys.load(file, passphrase)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(keys.Unusable, match="not a private key"):
        keys.load(file, None)


def test_a_kind_that_ssh_does_not_know_is_no_key_here(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(
        Ed448PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    with pytest.raises(keys.Unusable, match="not a private key"):
        keys.load(file, None)


@pytest.mark.system
def test_a_certificate_beside_a_key_goes_with_it(tmp_path: Path) -> None:
    authority = made(tmp_path / "ca", "ed25519", "")
    for kind in ("rsa", "ed25519"):
        file = made(tmp_path / kind, kind, "")
        sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "ann", f"{file}.pub"]
        subprocess.run(sign, check=True)
        certified, bare = keys.Keys(None).identities(file, keys.Agent(""), [], ask=False)
        assert certified.name == f"{file}-cert.pub"
        assert certified.key.public_blob is not None
        assert "cert" in certified.key.public_blob.key_type
        assert bare.key.public_blob is None


def test_a_machine_that_wants_no_jump_host_has_none() -> None:
    """The first word of ssh_config(5) counts, and what stands below is for the others."""
    one, two, _ = cluster(3).machines
    text = f"Host {one.public_ip}\n  ProxyJump none\nHost *\n  ProxyJump bastion\n"
    made = login.Login(cluster(3), Config(ssh_config=paramiko.SSHConfig.from_text(text)))
    assert not made.connection(one).gateway
    assert [gateway.host for gateway in made.gateways] == []
    assert made.connection(two).gateway.host == "bastion"


def configured(text: str, **options: object) -> Config:
    """Fabric's configuration with an ssh_config."""
    return Config(ssh_config=paramiko.SSHConfig.from_text(text), **options)


@pytest.mark.system
def test_the_identity_file_of_one_host_is_none_of_the_next(tmp_path: Path) -> None:
    one, two, _ = cluster(3).machines
    file = made(tmp_path / "key", "ed25519", "")
    config = configured(f"Host {one.public_ip}\n  IdentityFile {file}\n")
    login_ = login.Login(cluster(3), config)

    def names(machine: Machine) -> list[str]:
        strategy = login_.connection(machine).connect_kwargs["auth_strategy"]
        return [identity.name for identity in strategy.identities]

    assert names(one) == [str(file)]
    assert str(file) not in names(two)
    assert "key_filename" not in config.connect_kwargs


@pytest.mark.parametrize("kind", ["device", "fifo", "huge", "directory", "text"])
def test_what_is_no_key_is_said_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "key"
    if kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "fifo":
        os.mkfifo(file)
    elif kind == "huge":
        with file.open("wb") as huge:
            huge.truncate(1 << 40)
    elif kind == "directory":
        file.mkdir()
    else:
        file.write_text("[cluster]\n")
    (machine, *_) = cluster(1).machines
    with pytest.raises(Stop, match=f"{file}: cannot read the key: "):
        login.Login(cluster(1), configured(f"Host *\n  IdentityFile {file}\n")).connection(machine)


def test_strict_checking_counts_for_the_hosts_it_is_said_of(tmp_path: Path) -> None:
    one, two, _ = (machines := replace(cluster(3), ssh=Ssh(known_hosts=tmp_path / "new"))).machines
    text = f"""Host {one.public_ip} bastion
  StrictHostKeyChecking yes
Host {two.public_ip}
  ProxyJump bastion
"""
    made_ = login.Login(machines, configured(text))
    first, second = made_.connection(one), made_.connection(two)
    key = paramiko.Ed25519Key(data=b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32))

    def shows(connection: Connection) -> None:
        connection.client._policy.missing_host_key(connection.client, connection.host, key)

    for strict in (first, *made_.gateways):
        with pytest.raises(HostKeyRefused, match="ssh_config: StrictHostKeyChecking yes"):
            shows(strict)
    shows(second)
    assert (tmp_path / "new").read_text().startswith(f"{two.public_ip} ")


def test_a_proxy_command_takes_more_files_than_a_socket() -> None:
    one, two, _ = cluster(3).machines
    text = f"Host {one.public_ip}\n  ProxyCommand nc %h %p\n"
    made_ = login.Login(cluster(3), configured(text))
    more = made_.connection(one).files - made_.connection(two).files
    assert more == PROXY_FILES - 1
