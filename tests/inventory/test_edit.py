"""hosts.toml edited: what is meant changes, everything else stays to the byte."""

import os
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.common.errors import Stop
from tasks.inventory.edit import Edit, edited, new_file, put_in_place
from tasks.inventory.read import read

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEXT = """\
# Ours; ask Ann.
[cluster]
pod_networks = ["10.200.0.0/16", "fd00:200::/32"]  # both

# The first rack.
[[workers]]
name = "worker-0"     # the big one
public_ip   = "203.0.113.10"
# pod_cidr is on the machine

# The second rack.
[[workers]]
public_ip = '203.0.113.11'
internal_ip = [ "10.240.0.7",   # v4
    "fd00:240::7",              # v6
]
name = "worker-1"

[ssh]
user = "root"  # for now

# Not a worker.
[[controllers]]
name = "controller-0"
public_ip = "203.0.113.50"

# Late.
[[ "workers" ]]
name = "worker.2"
public_ip = "203.0.113.12" """


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


def test_a_value_changes_alone() -> None:
    edit = Edit(sets={"worker-0": {"public_ip": ("203.0.113.99",)}})
    assert edited(TEXT, edit) == TEXT.replace("203.0.113.10", "203.0.113.99")


def test_an_address_in_a_list_changes_alone() -> None:
    edit = Edit(sets={"worker-1": {"internal_ip": ("10.240.0.70", "fd00:240::7")}})
    assert edited(TEXT, edit) == TEXT.replace("10.240.0.7", "10.240.0.70")


def test_a_value_that_was_left_out_comes_last_in_its_table() -> None:
    edit = Edit(sets={"worker-0": {"pod_cidr": ("10.200.0.0/24", "fd00:200::/64")}})
    line = 'pod_cidr = ["10.200.0.0/24", "fd00:200::/64"]\n'
    above = "# pod_cidr is on the machine\n"
    assert edited(TEXT, edit) == TEXT.replace(above, above + line)


def test_a_second_address_family_makes_a_list() -> None:
    edit = Edit(sets={"worker-0": {"public_ip": ("a", "b")}})
    assert '\npublic_ip   = ["a", "b"]\n' in edited(TEXT, edit)


def test_new_machines_follow_those_of_their_kind() -> None:
    edit = Edit(
        adds=[
            ("worker-3", "worker", {"public_ip": ("203.0.113.13",)}),
            ("controller-1", "controller", {"public_ip": ("203.0.113.51",)}),
        ]
    )
    after = edited(TEXT, edit)
    assert after == TEXT.replace(
        'public_ip = "203.0.113.50"\n',
        'public_ip = "203.0.113.50"\n\n'
        '[[controllers]]\nname = "controller-1"\npublic_ip = "203.0.113.51"\n',
    ) + ('\n\n[[workers]]\nname = "worker-3"\npublic_ip = "203.0.113.13"\n')


def test_a_first_controller_follows_the_workers() -> None:
    text = '[cluster]\n\n[[workers]]\nname = "a"\n\n[ssh]\n'
    edit = Edit(adds=[("c", "controller", {})])
    assert (
        edited(text, edit)
        == '[cluster]\n\n[[workers]]\nname = "a"\n\n[[controllers]]\nname = "c"\n\n[ssh]\n'
    )


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("worker-0", TEXT[TEXT.index("\n# The first") : TEXT.index("\n# The second")]),
        ("worker-1", TEXT[TEXT.index("\n# The second") : TEXT.index("\n[ssh]")]),
        ("controller-0", TEXT[TEXT.index("\n# Not") : TEXT.index("\n# Late")]),
    ],
)
def test_a_machine_goes_with_the_comment_above_it(name: str, gone: str) -> None:
    assert edited(TEXT, Edit(removes=frozenset({name}))) == TEXT.replace(gone, "")


def test_line_ends_and_a_byte_order_mark_stay() -> None:
    text = "\ufeff" + TEXT.replace("\n", "\r\n")
    edit = Edit(
        sets={"worker-0": {"pod_cidr": ("10.200.0.0/24",)}}, adds=[("worker-3", "worker", {})]
    )
    after = edited(text, edit)
    assert after.startswith("\ufeff# Ours")
    assert after.replace("\r\n", "\n").removeprefix("\ufeff") == edited(TEXT, edit)
    assert "\n" not in after.replace("\r\n", "")


@pytest.mark.parametrize(
    "text",
    [
        'workers = [ { name = "worker-0", public_ip = "a" } ]\n',
        '[[workers]]\nname = "worker-0"\npublic_ip = """\n[[workers]]\n"""\n',
    ],
    ids=["inline tables", "a header inside a text"],
)
def test_a_form_that_cannot_be_edited_is_refused(text: str) -> None:
    with pytest.raises(Stop, match=r"\[\[workers\]\]"):
        edited(text, Edit(sets={"worker-0": {"public_ip": ("b",)}}))


def test_names_that_are_no_bare_keys_are_quoted_as_they_must_be() -> None:
    for name in ("worker.1", "a b", 'quo"te', "ünï", "back\\slash", "new\nline", "[[workers]]"):
        after = edited(TEXT, Edit(adds=[(name, "worker", {"public_ip": (name,)})]))
        assert tomllib.loads(after)["workers"][-1] == {"name": name, "public_ip": name}


NAMES = ["worker-0", "worker-1", "worker.2", "controller-0"]
VALUES = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=2).map(tuple)
FIELDS = st.dictionaries(
    st.sampled_from(["public_ip", "internal_ip", "pod_cidr"]), VALUES, min_size=1
)
NEW = st.tuples(
    st.text(min_size=1, max_size=8).filter(lambda name: name not in NAMES),
    st.sampled_from(["worker", "controller"]),
    FIELDS,
)
SETS = st.dictionaries(st.sampled_from(NAMES), FIELDS)
EDITS = st.builds(
    lambda sets, adds, removes: Edit(
        sets={name: fields for name, fields in sets.items() if name not in removes},
        adds=adds,
        removes=frozenset(removes),
    ),
    SETS,
    st.lists(NEW, max_size=2, unique_by=lambda new: new[0]),
    st.sets(st.sampled_from(NAMES), max_size=2),
)


def values_of(text: str) -> dict[str, dict[str, tuple[str, ...]]]:
    tables = tomllib.loads(text)
    return {
        table["name"]: {
            key: tuple(value) if isinstance(value, list) else (value,)
            for key, value in table.items()
            if key != "name"
        }
        for kind in ("workers", "controllers")
        for table in tables.get(kind, ())
    }


@given(EDITS)
def test_what_was_written_is_what_is_read(edit: Edit) -> None:
    meant = {n: fields for n, fields in values_of(TEXT).items() if n not in edit.removes}
    for name, fields in edit.sets.items():
        meant[name] |= fields
    meant |= {name: dict(fields) for name, _, fields in edit.adds}
    after = edited(TEXT, edit)
    assert values_of(after) == meant
    assert edited(after, Edit(sets=edit.sets)) == after


@given(SETS)
def test_comments_survive_whatever_values_change(
    sets: dict[str, dict[str, tuple[str, ...]]],
) -> None:
    after = edited(TEXT, Edit(sets=sets))
    for line in TEXT.splitlines():
        comment = line.partition("#")[2]
        listed = comment in ("   v4", " v4", " v6")  # gone where its list becomes another
        assert listed or f"#{comment}" in after


# The file


@pytest.fixture(autouse=True)
def in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


HOSTS = Path("hosts.toml")
WHOLE = new_file(["10.200.0.0/16"]) + '\n[[workers]]\nname = "a"\npublic_ip = "a.example.com"\n'


def test_a_new_file_passes_the_checks_and_can_be_read_by_a_person() -> None:
    put_in_place(HOSTS, None, WHOLE, with_key=True)
    assert HOSTS.read_text() == WHOLE
    assert [machine.name for machine in read(HOSTS).machines] == ["a"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(HOSTS.stat().st_mode) == 0o666 & ~mask
    assert [path.name for path in Path().iterdir()] == ["hosts.toml"]


def test_mode_owner_and_link_stay() -> None:
    real = Path("real.toml")
    real.write_text(WHOLE)
    real.chmod(0o640)
    os.chown(real, 1234, 1234) if os.geteuid() == 0 else None
    HOSTS.symlink_to(real)
    owner = real.stat().st_uid
    put_in_place(HOSTS, WHOLE, WHOLE + "\n", with_key=True)
    assert HOSTS.is_symlink()
    assert real.read_text() == WHOLE + "\n"
    assert (stat.S_IMODE(real.stat().st_mode), real.stat().st_uid) == (0o640, owner)


def test_a_result_with_mistakes_is_refused_and_nothing_changes() -> None:
    HOSTS.write_text(WHOLE)
    bad = WHOLE + '\n[[workers]]\nname = "a b"\npublic_ip = "a.example.com"\n'
    with pytest.raises(Stop) as stop:
        put_in_place(HOSTS, WHOLE, bad, with_key=True)
    first, second, *mistakes = str(stop.value).splitlines()
    assert first == "hosts.toml is not written; the result would have mistakes:"
    assert second == "hosts.toml: 2 mistakes"
    assert any("name: must be up to 253 letters" in line for line in mistakes)
    assert HOSTS.read_text() == WHOLE
    assert [path.name for path in Path().iterdir()] == ["hosts.toml"]


def test_a_file_that_somebody_edits_meanwhile_is_left_alone() -> None:
    HOSTS.write_text(WHOLE + "# mine\n")
    with pytest.raises(Stop, match="changed by another program"):
        put_in_place(HOSTS, WHOLE, WHOLE + "\n", with_key=True)
    assert HOSTS.read_text().endswith("# mine\n")


def test_a_directory_that_does_not_exist() -> None:
    with pytest.raises(Stop, match="cannot be written: No such file or directory"):
        put_in_place(Path("nowhere/hosts.toml"), None, WHOLE, with_key=True)
