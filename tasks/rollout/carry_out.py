"""The script that changes one machine's routes, and reverts the change unless it is confirmed.

The script arms the undo before it changes a route. STATE/pending then holds the undo, as a script
of its own, and a deadline in seconds of uptime. At the deadline a watchdog runs the undo. The
watchdog belongs to no login session, so it outlives the connection. Whoever confirms or reverts
the change renames STATE/pending first. A rename succeeds once (rename(2)), so only one can win.

The undo can be repeated: `ip -force` goes on after a line that fails. The routes at the prefixes of
the change then show whether the undo worked. It ignores all other routes: others may change them
meanwhile, for example when a pod starts.
"""

from collections.abc import Collection, Sequence

from tasks.bgp import bird
from tasks.bgp.bird_conf import BOOT, RUN, UNIT, password_conf, unit
from tasks.common.script import Script, joined, script
from tasks.common.values import Address
from tasks.iproute.names import MAIN
from tasks.iproute.route import UNSAVED
from tasks.persistence.install import persist_script
from tasks.planning.model import BirdChange
from tasks.undo.records import RUNS, STATE, Displaced
from tasks.undo.recovery import PATIENCE, functions, keep
from tasks.undo.run import Run

from .readback import change_questions, undo_questions
from .steps import Steps, family_of

NAP = 10  # seconds; the longest sleep of the watchdog between two checks


def carry_out(
    steps: Steps,
    snapshot: str,
    run: Run,
    changes: Sequence[str] | None,
    what: str,
    lifelines: Collection[Address] = (),
    discards: Sequence[Displaced] = (),
    earlier: Collection[str] = (),
    full: bool = False,
) -> Script:
    """The script that arms the undo, and carries out the steps when it is told to.

    It arms nothing if the routes differ from `snapshot`. Once the undo is armed, the script prints
    READY and reads a word. It prints READY again after each word, until it ends. The words:

    - `go`: carry out the steps; if one fails, revert and end. Until `go` the script holds the lock.
    - `speak`: start BIRD, or have it read its new configuration.
    - `stands`: print which routes have not come by BGP yet.
    - `last`: carry out the steps that come once all machines have what they wait for.
    - `push`: move the deadline.
    - `commit`: the same; from now on other machines may have confirmed.
    - `keep`: confirm the change, delete the records of the displaced routes in `discards`, and end.
    - Any other word, or the end of the connection: end. After `go` the change stays armed. Before
      `go` nothing was changed, and the script disarms the undo.

    `changes`: the record for `rollback --last`; None: leave the record of the run before, because
    this run only repairs.
    `what`: a summary for the history.
    `lifelines`: addresses whose next hop must not change; otherwise the script reverts.
    `earlier`: runs of other machines, which the machine records as earlier than this one.
    `full`: whether the machine's record of runs is full; then the script cuts it to half first.
    """
    around = script(
        "rollout/readback.sh",
        "undo/push.sh",
        "rollout/carry_out.sh",
        **change_questions(steps, run.pod_networks, lifelines),
        run=run.id,
        timeout=run.timeout,
        patience=PATIENCE,
        who=run.who,
        since=run.since,
        what=what,
        machines=" ".join(run.machines),
        planned_on=snapshot,
        changes=changes or (),
        repair="yes" if changes is None else "",
        earlier=" ".join(earlier),
        keep_runs=RUNS // 2 if full else "",
        missing=_still_missing(steps),
        keeps=[f"{k.prefix.version} {k.prefix} {k.protocol} {k.file}" for k in steps.keeps],
        main_table=MAIN,
        lines=steps.do,
        last_lines=steps.last,
        restores=[f"{family_of(d)} {d.file}" for d in steps.restores],
        gone_4=_any_of(UNSAVED[4]),
        gone_6=_any_of(UNSAVED[6]),
        undo=_undo(steps, run),
        persist=_persist(steps),
        watch=script("undo/deadline.sh", "undo/watch.sh", state=STATE, nap=NAP),
    )
    return joined(functions(run), around, *_stages(steps), keep(run, discards))


def _undo(steps: Steps, run: Run) -> Script:
    """The undo, as a script that the watchdog or another connection runs on its own."""
    asked = undo_questions(steps, run.pod_networks)
    kept = [f"{k.prefix.version} {k.file}" for k in steps.keeps]
    return joined(
        functions(run),
        script("rollout/readback.sh", "rollout/undo_more.sh", **asked, lines=steps.undo, kept=kept),
        *_stages_undo(steps),
        script("rollout/undo.sh"),
    )


def _stages(steps: Steps) -> list[Script]:
    """The scripts for a change of BIRD; none if there is no BGP in it."""
    if steps.bird is None and not steps.expected:
        return []
    change = steps.bird or BirdChange("", "")
    stages = script(
        "bgp/stages.sh",
        bird_change=_word(steps.bird),
        bird_conf=change.conf.rstrip(),
        bird_password=password_conf(change.password) if change.password else "",
        bird_text=unit(),
    )
    return [bird.functions(steps.expected), stages]


def _word(change: BirdChange | None) -> str:
    """The word of stages.sh for a change of BIRD."""
    if change is None:
        return ""
    if not change.conf:
        return "off"
    return "last" if change.from_last else "on"


def _stages_undo(steps: Steps) -> list[Script]:
    """The scripts that take back a change of BIRD."""
    if steps.bird is None:
        return []
    undo = script("bgp/stages_undo.sh", bird_text=unit(), adds=steps.undo_adds)
    return [bird.functions(steps.by_bgp), undo]


def _persist(steps: Steps) -> Script:
    """The script that makes the change outlive a reboot, or not."""
    files = persist_script(steps.files)
    if steps.bird is None:
        return files
    text = unit() if steps.bird.at_boot else ""
    boot = script(
        "bgp/boot.sh",
        bird_run=RUN,
        bird_boot=BOOT,
        bird_unit=UNIT,
        bird_text=text,
        bird_keeps="yes" if steps.bird.keeps else "",
    )
    return joined(files, boot)


def _still_missing(steps: Steps) -> list[str]:
    """The lines for our routes that stay recorded although they are missing."""
    return [line for r in steps.still_missing for line in (f"== kept {r.prefix.version}", r.words)]


def _any_of(words: Collection[str]) -> str:
    """A pattern for `grep -E` that matches any of the words, with a blank on each side."""
    return f" ({'|'.join(words)}) "
