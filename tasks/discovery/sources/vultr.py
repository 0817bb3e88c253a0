"""Lists Vultr's instances with vultr-cli.

`instance list --output json` prints the API's instance objects and paging
(https://www.vultr.com/api/#tag/instances/operation/list-instances). A missing address is "" or
"0.0.0.0". The last page has the next cursor "".
"""

from collections.abc import Iterator

from tasks.common.errors import Stop
from tasks.common.provider_cli import Answer, answer_of
from tasks.discovery.model import Found, Request, internal_ips, public_ips

PAGE = "500"  # instances per page, the most that the API allows
PAGES = 100  # most pages to read


class _Instance(Answer):
    label: str = ""
    hostname: str = ""
    main_ip: str = ""
    v6_main_ip: str = ""
    internal_ip: str = ""
    vpc_only: bool = False
    tags: list[str] | None = None


class _Links(Answer):
    next: str = ""


class _Meta(Answer):
    links: _Links | None = None


class _Page(Answer):
    instances: list[_Instance] | None
    meta: _Meta | None = None


def machines(request: Request) -> Iterator[Found]:
    """Every instance of the account, page by page. Raises Stop if vultr-cli or its paging fails."""
    cursors = [""]
    while True:
        argv = ["vultr-cli", "instance", "list", "--output", "json", "--per-page", PAGE]
        page = answer_of(
            request.c,
            [*argv, *(["--cursor", cursors[-1]] if cursors[-1] else [])],
            _Page,
            key="VULTR_API_KEY",
            missing="see https://github.com/vultr/vultr-cli",
        )
        for instance in page.instances or []:
            yield _found(instance)
        following = page.meta.links.next if page.meta and page.meta.links else ""
        if not following:
            return
        if following in cursors:
            raise Stop("vultr-cli: its pages go round in a circle; try again")
        if len(cursors) == PAGES:
            raise Stop(f"vultr-cli: has more than {PAGES} pages")
        cursors.append(following)


def _found(instance: _Instance) -> Found:
    internal = internal_ips("vultr", instance.internal_ip)
    notes = []
    if not internal:
        notes.append(
            "Vultr names no internal IP: attach a VPC; an address in a VPC 2.0 only the machine"
            " itself knows: --from vultr,ssh"
        )
    if instance.vpc_only:
        notes.append("has no public IP (vpc_only): ssh has to reach it by its internal one")
    return Found(
        instance.label or instance.hostname,
        "vultr",
        (*public_ips("vultr", instance.main_ip, instance.v6_main_ip), *internal),
        member=False,
        tags=tuple(instance.tags or ()),
        provider="vultr",
        notes=tuple(notes),
    )
