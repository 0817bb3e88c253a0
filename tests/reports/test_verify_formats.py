"""What verify prints for programs, read by parsers that are not ours."""

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from tasks.connectivity.ping import Report
from tasks.connectivity.real_pods import RealPod
from tasks.connectivity.verdict import Pair
from tasks.diagnosis.model import Cause
from tasks.diagnosis.result import Verification
from tasks.reports.verify_formats import verify_json, verify_junit
from tests.builders import cluster
from tests.paths import PROJECT

DOCS = PROJECT / "docs"
SCHEMA = json.loads((DOCS / "verify.schema.json").read_text())
WHEN = datetime(2026, 11, 23, 10, 14, 16, tzinfo=timezone(timedelta(hours=2)))
FINE = Pair("worker-0", "worker-1", 4, True, "ok", 3, 0.12)
SILENT = Pair("worker-1", "worker-0", 4, True, "silent")
CAUSE = Cause("worker-0", "worker-0 </failure> does not \x1bforward", "sysctl & <co>", (SILENT,))
MIXED = Verification(
    cluster(3, 1),
    WHEN,
    skipped={"worker-2": "down\x00 \ud800"},
    reports={
        "worker-0": Report("bridge", "", {4: True, 6: True}, ()),
        "worker-1": Report("lo", "no namespace", {4: True, 6: True}, ()),
    },
    pairs=(FINE, SILENT, replace(FINE, from_pod=False, received=1)),
    causes=(CAUSE,),
    unplanned={"worker-1": "worker-1 sends packets elsewhere"},
)
PODS = [
    RealPod("worker-0", ip_address("10.200.0.2"), True, ("worker-1",), ("worker-1",), "itself"),
    RealPod("worker-0", ip_address("10.200.0.3"), True, ("worker-1",), ()),
    RealPod("worker-1", ip_address("10.200.1.2"), False, ("worker-0",), ()),
]
NO_BRIDGE = Cause("worker-1", "worker-1: its pod bridge is missing", "restart its pods", ())
CUT_OFF = Verification(cluster(2), WHEN, pairs=(FINE,), causes=(NO_BRIDGE,), real_pods=PODS)
EARLY = Verification(cluster(2, families=(4, 6)), WHEN, rehearsal=True, stopped="interrupted")


def strict(schema: Any) -> Any:
    """A schema by which every field must be there, and none that it does not name."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: strict(part) for key, part in schema.items()}
    fields = schema.get("properties")
    return {**parts, "additionalProperties": False, "required": [*fields]} if fields else parts


@pytest.mark.parametrize("run", [MIXED, CUT_OFF, EARLY])
def test_the_json_has_the_fields_that_the_schema_names_and_no_other(run: Verification) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    document = json.loads(verify_json(run))
    Draft202012Validator(SCHEMA).validate(document)
    Draft202012Validator(strict(SCHEMA)).validate(document)
    for key in document:
        missing = {k: v for k, v in document.items() if k != key}
        assert not Draft202012Validator(SCHEMA).is_valid(missing), key


def test_the_example_in_the_docs_is_by_the_schema() -> None:
    text = (DOCS / "verify.md").read_text()
    example = re.search(r"^    \{\n.*?^    \}\n", text, re.MULTILINE | re.DOTALL)
    assert example is not None
    Draft202012Validator(strict(SCHEMA)).validate(json.loads(example[0]))


def test_the_json_says_what_was_found() -> None:
    found = json.loads(verify_json(MIXED))
    assert found["started"] == "2026-11-23T08:14:16Z"
    assert [m["skipped"] for m in found["machines"]] == [None, None, "down\x00 \ud800", None]
    said = [machine["unplanned"] for machine in found["machines"]]
    assert said == [None, "worker-1 sends packets elsewhere", None, None]
    assert found["machines"][1]["probe"] == {"wired": "lo", "why": "no namespace"}
    assert [pair["causes"] for pair in found["pairs"]] == [[], [0], []]
    assert [pair["rtt_ms"] for pair in found["pairs"]] == [0.12, None, 0.12]
    assert found["causes"][0]["words"] == CAUSE.words
    assert found["totals"] == {
        "pod_pairs": 2,
        "pod_pairs_ok": 1,
        "machine_pairs": 1,
        "machine_pairs_ok": 1,
        "slowest_rtt_ms": 0.12,
    }


def cases(run: Verification) -> dict[tuple[str, str], TestCase]:
    """The cases of a JUnit report by class and name, read from its bytes."""
    xml = JUnitXml.fromstring(verify_junit(run).encode("ascii"))
    suites = [suite for suite in xml if isinstance(suite, TestSuite)]
    assert xml.tests == sum(suite.tests for suite in suites)
    found = {(str(case.classname), str(case.name)): case for s in suites for case in s}
    assert len(found) == xml.tests
    for kind, said in ((Failure, xml.failures), (Error, xml.errors), (Skipped, xml.skipped)):
        assert said == sum(isinstance(r, kind) for case in found.values() for r in case.result)
    return found


def test_the_junit_report_has_a_case_for_each_pair_and_machine() -> None:
    found = cases(MIXED)
    assert len(found) == 1 + 4 + 3
    (failure,) = found["verify.ipv4.pod-to-pod", "worker-1 to worker-0"].result
    assert isinstance(failure, Failure)
    assert failure.type == "silent"
    assert failure.message == "worker-0 </failure> does not \ufffdforward"
    assert "sysctl & <co>" in str(failure.text)
    assert found["verify.ipv4.pod-to-pod", "worker-0 to worker-1"].time == 0.00012
    (skipped,) = found["verify.run", "ask worker-2"].result
    assert isinstance(skipped, Skipped)
    assert found["verify.run", "run to its end"].is_passed
    assert found["verify.run", "ask worker-1"].is_passed
    assert found["verify.run", "ask worker-1"].system_out == "worker-1 sends packets elsewhere"


def test_a_run_that_ended_early_is_an_error_in_ci() -> None:
    (error,) = cases(EARLY)["verify.run", "run to its end"].result
    assert isinstance(error, Error)
    assert error.text == "interrupted"


def test_pods_that_are_cut_off_fail_in_ci_though_all_pairs_answer() -> None:
    found = cases(CUT_OFF)
    assert found["verify.pods", "worker-0 10.200.0.2"].is_passed
    (silent,) = found["verify.pods", "worker-0 10.200.0.3"].result
    assert isinstance(silent, Failure)
    assert silent.message == "does not answer worker-1"
    (gone,) = found["verify.pods", "worker-1 10.200.1.2"].result
    assert isinstance(gone, Skipped)
    (bridge,) = found["verify.run", "ask worker-1"].result
    assert isinstance(bridge, Failure)
    assert (bridge.message, bridge.text) == (NO_BRIDGE.words, NO_BRIDGE.remedy)
