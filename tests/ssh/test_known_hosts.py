"""Host keys: what is known, learned and refused."""

import base64
import hashlib
import hmac
import os
import stat
from pathlib import Path

import pytest
from paramiko import Ed25519Key, PKey

from tasks.common.errors import Stop
from tasks.inventory.model import HostKeys
from tasks.ssh.known_hosts import HostKeyRefused, KnownHosts, read_lines


def key(number: int) -> PKey:
    """One of any number of Ed25519 public keys, in the wire format of RFC 8709."""
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + hashlib.sha256(bytes([number])).digest()
    return Ed25519Key(data=blob)


GOOD, OTHER = key(1), key(2)
HASHED = "|1|{}|{}".format(
    base64.b64encode(b"salt").decode(),
    base64.b64encode(hmac.new(b"salt", b"host", hashlib.sha1).digest()).decode(),
)


def known(tmp_path: Path, *lines: str, mode: HostKeys = "strict") -> KnownHosts:
    (tmp_path / "theirs").write_text("\n".join(lines) + "\n")
    return KnownHosts(mode, [tmp_path / "theirs", tmp_path / "none"], tmp_path / "known_hosts")


def line(hosts: str, of: PKey = GOOD, marker: str = "") -> str:
    return f"{marker} {hosts} {of.get_name()} {of.get_base64()} comment".strip()


@pytest.mark.parametrize(
    ("hosts", "host", "accepted"),
    [
        ("host", "host", True),
        ("HOST,10.0.0.1", "host", True),
        (HASHED, "host", True),
        (HASHED, "other", False),
        ("[host]:2222", "[host]:2222", True),
        ("host", "[host]:2222", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com,!a.example.com", "a.example.com", False),
        ("|1|broken", "host", False),
    ],
)
def test_whom_a_line_names(tmp_path: Path, hosts: str, host: str, accepted: bool) -> None:
    rule = known(tmp_path, "", "# comment", "too few", line(hosts))
    if accepted:
        rule.check(host, GOOD)
    else:
        with pytest.raises(HostKeyRefused, match="not known"):
            rule.check(host, GOOD)


@pytest.mark.parametrize(
    "broken", ["host ssh-ed25519 AAAA", "host ssh-ed25519 %%%", "host ssh-rsa " + GOOD.get_base64()]
)
def test_a_line_without_a_key_of_its_type_is_passed_over(tmp_path: Path, broken: str) -> None:
    known(tmp_path, broken, mode="accept-new").check("host", GOOD)
    with pytest.raises(HostKeyRefused, match="HAS CHANGED"):
        known(tmp_path, broken).check("host", OTHER)


def test_a_changed_key_is_refused_with_both_fingerprints(tmp_path: Path) -> None:
    modes: tuple[HostKeys, ...] = ("strict", "accept-new")
    for mode in modes:
        with pytest.raises(HostKeyRefused, match="HAS CHANGED") as refused:
            known(tmp_path, line("host", OTHER), mode=mode).check("host", GOOD)
        assert str(refused.value).count("SHA256:") == 2
        assert "theirs:1" in str(refused.value)
    assert not (tmp_path / "known_hosts").exists()


def test_a_revoked_key_is_refused_though_it_is_known(tmp_path: Path) -> None:
    with pytest.raises(HostKeyRefused, match="revoked"):
        known(tmp_path, line("host"), line("*", marker="@revoked")).check("host", GOOD)
    known(tmp_path, line("host"), line("*", OTHER, "@revoked")).check("host", GOOD)


def test_a_certificate_authority_is_refused_plainly(tmp_path: Path) -> None:
    rule = known(tmp_path, line("*", marker="@cert-authority"), mode="accept-new")
    with pytest.raises(HostKeyRefused, match="certificate authority"):
        rule.check("host", GOOD)


def test_accept_new_learns_once_and_then_insists(tmp_path: Path) -> None:
    known(tmp_path, mode="accept-new").check("[host]:2222", GOOD)
    learned = tmp_path / "known_hosts"
    assert learned.read_text() == line("[host]:2222").removesuffix(" comment") + "\n"
    assert stat.S_IMODE(learned.stat().st_mode) == 0o600
    again = known(tmp_path, mode="accept-new")
    again.check("[host]:2222", GOOD)
    with pytest.raises(HostKeyRefused, match="HAS CHANGED"):
        again.check("[host]:2222", OTHER)
    assert again.types("[host]:2222") == ["ssh-ed25519"]


def test_off_checks_nothing(tmp_path: Path) -> None:
    known(tmp_path, line("host", OTHER), mode="off").check("host", GOOD)
    assert not (tmp_path / "known_hosts").exists()


def test_a_learned_key_leaves_a_last_line_without_its_end_alone(tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text(line("old"))
    known(tmp_path, mode="accept-new").check("new", OTHER)
    again = known(tmp_path)
    again.check("old", GOOD)
    again.check("new", OTHER)


def test_a_hashed_name_is_found_however_it_is_written(tmp_path: Path) -> None:
    known(tmp_path, line(HASHED)).check("Host", GOOD)


def test_all_lines_that_a_changed_key_makes_old_are_named(tmp_path: Path) -> None:
    """The fingerprint is that of the key of the same type, as `ssh-keyscan` writes several."""
    rsa = base64.b64encode(b"\0\0\0\x07ssh-rsa" + b"more").decode()
    with pytest.raises(HostKeyRefused, match="HAS CHANGED") as refused:
        known(tmp_path, f"host ssh-rsa {rsa}", line("host", OTHER)).check("host", GOOD)
    said = str(refused.value)
    assert "theirs:2 has ssh-ed25519 SHA256:" in said
    assert said.index("delete that line, and ") < said.index("theirs:1")


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ("accept-new", "yes", "ssh_config: StrictHostKeyChecking yes"),
        ("off", "ask", "ssh_config: StrictHostKeyChecking ask"),
        ("accept-new", "whatever", "ssh_config: StrictHostKeyChecking whatever"),
        ("strict", "no", "host_keys is strict in hosts.toml"),
        ("strict", "yes", "host_keys is strict in hosts.toml"),
    ],
)
def test_the_stricter_of_both_files_counts_and_is_named(
    tmp_path: Path, ours: HostKeys, theirs: str, said: str
) -> None:
    with pytest.raises(HostKeyRefused, match="not known") as refused:
        known(tmp_path, mode=ours).check("host", GOOD, theirs)
    assert said in str(refused.value)
    known(tmp_path, line("host"), mode=ours).check("host", GOOD, theirs)


@pytest.mark.parametrize(
    ("ours", "theirs", "learned"),
    [
        ("off", "accept-new", True),
        ("accept-new", "OFF", True),
        ("accept-new", "", True),
        ("off", "no", False),
        ("off", "", False),
    ],
)
def test_what_neither_file_has_strict(
    tmp_path: Path, ours: HostKeys, theirs: str, learned: bool
) -> None:
    known(tmp_path, mode=ours).check("host", GOOD, theirs)
    assert (tmp_path / "known_hosts").exists() == learned


@pytest.mark.parametrize("kind", ["fifo", "device", "directory"])
def test_what_is_no_file_is_passed_over_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "known_hosts"
    if kind == "fifo":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    else:
        file.mkdir()
    assert read_lines([file]) == []


def test_a_file_too_large_to_be_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    with (tmp_path / "known_hosts").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(Stop, match="known_hosts: cannot be read: more than"):
        read_lines([tmp_path / "known_hosts"])
