"""Lists the cluster's nodes with kubectl.

`get nodes -o json` prints a NodeList
(https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/node-v1/).
"""

from collections.abc import Iterator

from pydantic import Field

from tasks.common.provider_cli import Answer, answer_of
from tasks.discovery.model import Found, Request, internal_ips, pod_cidrs, public_ips


class _Meta(Answer):
    name: str
    labels: dict[str, str] | None = None


class _Spec(Answer):
    pod_cidr: str = Field(default="", alias="podCIDR")
    pod_cidrs: list[str] | None = Field(default=None, alias="podCIDRs")


class _Address(Answer):
    type: str
    address: str


class _Status(Answer):
    addresses: list[_Address] | None = None


class _Node(Answer):
    metadata: _Meta
    spec: _Spec = _Spec()
    status: _Status = _Status()


class _Nodes(Answer):
    items: list[_Node] | None


def machines(request: Request) -> Iterator[Found]:
    """Every node. A node with a pod CIDR is a worker, whatever its taints.

    Raises Stop if kubectl fails, and ValueError for an invalid address.
    """
    context = [f"--context={request.context}"] if request.context else []
    nodes = answer_of(
        request.c,
        ["kubectl", *context, "get", "nodes", "-o", "json"],
        _Nodes,
        key="",
        missing="apt-get install kubernetes-client",
    )
    for node in nodes.items or []:
        addresses = node.status.addresses or []
        external = [a.address for a in addresses if a.type == "ExternalIP"]
        internal = [a.address for a in addresses if a.type == "InternalIP"]
        cidrs = pod_cidrs("kubectl", *(node.spec.pod_cidrs or [node.spec.pod_cidr]))
        labels = node.metadata.labels or {}
        yield Found(
            node.metadata.name,
            "kubectl",
            (*public_ips("kubectl", *external), *internal_ips("kubectl", *internal), *cidrs),
            role="worker" if cidrs else None,
            tags=(*labels, *(f"{key}={value}" for key, value in labels.items())),
            notes=() if cidrs else ("has no podCIDR yet",),
        )
