"""What verify prints for programs: JSON, and JUnit XML for CI. docs/verify.md describes both."""

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from xml.etree import ElementTree as ET

from tasks.connectivity.ping import COUNT
from tasks.connectivity.real_pods import RealPod
from tasks.connectivity.verdict import Pair
from tasks.diagnosis.result import Verification, View, legal
from tasks.inventory.model import Machine

from .verify_table import MEANING

VERSION = 1  # of the JSON; it rises when a field is removed or changes its meaning


def verify_json(verification: Verification) -> str:
    """A run of verify as one JSON object, as docs/verify.schema.json describes it."""
    numbers = verification.cause_numbers()
    document = {
        "version": VERSION,
        "inventory": str(verification.cluster.path),
        "rehearsal": verification.rehearsal,
        "started": utc(verification.when),
        "complete": not verification.stopped,
        "stopped": verification.stopped or None,
        "method": verification.method,
        "machines": [_machine_json(verification, m) for m in verification.cluster.machines],
        "causes": [
            {
                "machine": cause.machine or None,
                "words": cause.words,
                "remedy": str(cause.remedy),
                "loses_packets": cause.loses,
                "pairs": len(cause.pairs),
            }
            for cause in verification.causes
        ],
        "pairs": [
            {
                "from": pair.source,
                "to": pair.target,
                "family": pair.family,
                "sent_by": "pod" if pair.from_pod else "machine",
                "verdict": pair.verdict,
                "ok": pair.ok,
                "sent": COUNT if pair.verdict != "no probe" else 0,
                "received": pair.received,
                "rtt_ms": pair.rtt,
                "causes": numbers.get(pair, []),
            }
            for pair in verification.pairs
        ],
        "real_pods": [
            {
                "worker": pod.worker,
                "address": str(pod.address),
                "answers_its_worker": pod.here,
                "asked_by": list(pod.asked),
                "answered": list(pod.answered),
                "arrives_as": pod.arrives or None,
            }
            for pod in verification.real_pods
        ],
        "totals": _totals(verification.pairs),
    }
    return json.dumps(document, indent=2)


def _machine_json(verification: Verification, machine: Machine) -> dict[str, object]:
    report = verification.reports.get(machine.name)
    probe = {"wired": report.wired, "why": report.why or None} if report else None
    return {
        "name": machine.name,
        "role": machine.role,
        "pod_cidrs": [str(cidr) for cidr in machine.pod_cidrs],
        "skipped": verification.skipped.get(machine.name),
        "probe": probe,
        "unplanned": verification.unplanned.get(machine.name),
    }


def _totals(pairs: Sequence[Pair]) -> dict[str, object]:
    pods = [p for p in pairs if p.from_pod]
    hosts = [p for p in pairs if not p.from_pod]
    return {
        "pod_pairs": len(pods),
        "pod_pairs_ok": sum(p.ok for p in pods),
        "machine_pairs": len(hosts),
        "machine_pairs_ok": sum(p.ok for p in hosts),
        "slowest_rtt_ms": max((p.rtt for p in pairs if p.rtt is not None), default=None),
    }


def utc(when: datetime) -> str:
    """A time in ISO 8601, in UTC, to the second."""
    return when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def verify_junit(verification: Verification) -> str:
    """A run of verify in the XML of JUnit's Ant task, which Jenkins and GitLab read.

    A pair is a test case; its time is the round trip. A suite holds the pairs of one family that
    pods sent, or that machines sent. The suite "run" has a case for each machine: skipped where it
    cannot be asked, failed where it has a cause that no pair shows. One more case of that suite is
    an error where the run ended early. With --pods, the pods have a suite of their own.
    """
    suites = [("run", _run_cases(verification))]
    suites += [(view.title, _pair_cases(verification, view)) for view in verification.views]
    if verification.real_pods:
        suites.append(("pods that run there", _pod_cases(verification.real_pods)))
    root = ET.Element("testsuites", name="fab verify")
    for name, cases in suites:
        started = utc(verification.when).removesuffix("Z")
        suite = ET.SubElement(root, "testsuite", name=name, timestamp=started)
        suite.extend(cases)
    for element in (root, *root.findall("testsuite")):
        element.set("tests", str(len(list(element.iter("testcase")))))
        for kind, plural in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            element.set(plural, str(len(list(element.iter(kind)))))
    ET.indent(root)
    text = legal(ET.tostring(root, encoding="unicode"))
    return (  # in ASCII: the encoding of stdout is not known
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        + text.encode("ascii", "xmlcharrefreplace").decode()
    )


def _run_cases(verification: Verification) -> list[ET.Element]:
    whole = ET.Element("testcase", classname="verify.run", name="run to its end")
    if verification.stopped:
        error = ET.SubElement(whole, "error", type="stopped", message="ended early")
        error.text = verification.stopped
    cases = [whole]
    for machine in verification.cluster.machines:
        case = ET.Element("testcase", classname="verify.run", name=f"ask {machine.name}")
        if machine.name in verification.skipped:
            ET.SubElement(case, "skipped", message=verification.skipped[machine.name])
        if machine.name in verification.unplanned:
            ET.SubElement(case, "system-out").text = verification.unplanned[machine.name]
        for cause in verification.causes:
            if cause.loses and not cause.pairs and cause.machine == machine.name:
                failure = ET.SubElement(case, "failure", type="cause", message=cause.words)
                failure.text = str(cause.remedy)
        cases.append(case)
    return cases


def _pod_cases(pods: Sequence[RealPod]) -> list[ET.Element]:
    cases = []
    for pod in pods:
        case = ET.Element("testcase", classname="verify.pods", name=f"{pod.worker} {pod.address}")
        if not pod.here:
            ET.SubElement(case, "skipped", message="does not answer its own machine")
        elif not pod.ok:
            silent = ", ".join(name for name in pod.asked if name not in pod.answered)
            ET.SubElement(case, "failure", type="silent", message=f"does not answer {silent}")
        cases.append(case)
    return cases


def _pair_cases(verification: Verification, view: View) -> list[ET.Element]:
    classname = f"verify.ipv{view.family}.{'pod' if view.from_pod else 'machine'}-to-pod"
    numbers = verification.cause_numbers()
    cases = []
    for pair in view.pairs:
        name = f"{pair.source} to {pair.target}"
        case = ET.Element("testcase", classname=classname, name=name)
        if pair.rtt is not None:
            case.set("time", f"{pair.rtt / 1000:.6f}")
        if not pair.ok:
            causes = [verification.causes[number] for number in numbers.get(pair, [])]
            meaning = MEANING[pair.verdict]
            message = "; ".join([cause.words for cause in causes]) or meaning
            failure = ET.SubElement(case, "failure", type=pair.verdict, message=message)
            remedies = [line for cause in causes for line in (cause.words, str(cause.remedy))]
            failure.text = "\n".join([f"{name}: {meaning}", *remedies])
        cases.append(case)
    return cases
