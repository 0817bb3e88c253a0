"""The commands of this collection: `fab --list` shows them."""

from invoke import Collection

from tasks import (
    apply,
    confirm,
    discover,
    drain,
    lab,
    plan,
    rehearse,
    rollback,
    snapshot,
    status,
    verify,
    version,
    watch,
)
from tasks.cli import startup
from tasks.cli.session import session

namespace = Collection(
    discover.discover,
    plan.plan,
    apply.apply_routes,
    verify.verify,
    rollback.rollback,
    drain.drain,
    watch.watch,
    confirm.confirm,
    status.status,
    status.history,
    rehearse.rehearse,
    snapshot.snapshot,
    version.version,
    Collection("lab", lab.up, lab.status, lab.shell, lab.down),
)
namespace.configure(
    {"inventory": "hosts.toml", "parallel": "32"},
)
startup.prepare()
session.begin()
