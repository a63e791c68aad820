"""Reads many objects at once: one view, one traversal, pages of properties."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from bench.environments.vsphere.client import Vcenter, module

PAGE = 1000  # objects in an answer


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An ESXi host: ``memory`` in bytes, ``threads`` of its ``cores`` of ``mhz`` each.

    ``name`` is for placement and messages; records hold it only if the study names the host.
    ``gpus`` are the vGPU profiles that it offers.
    """

    id: str
    name: str
    model: str
    cpu_model: str
    cores: int
    threads: int
    mhz: int
    memory: int
    connected: bool
    gpus: tuple[str, ...] = ()


def bulk(
    vcenter: Vcenter, kind: Any, paths: Sequence[str], *, root: Any = None
) -> list[tuple[Any, dict[str, Any]]]:
    """Return (object, properties) of every ``kind`` below ``root`` (default: everything).

    A property that is not set is absent. Calls: three, and one more for each ``PAGE`` objects.
    """
    query = module().vmodl.query.PropertyCollector
    top = vcenter.content.rootFolder if root is None else root
    view = vcenter.content.viewManager.CreateContainerView(top, [kind], True)
    try:
        walk = query.TraversalSpec(name="view", path="view", skip=False, type=type(view))
        spec = query.FilterSpec(
            objectSet=[query.ObjectSpec(obj=view, skip=True, selectSet=[walk])],
            propSet=[query.PropertySpec(type=kind, pathSet=list(paths))],
            reportMissingObjectsInResults=False,
        )
        return _pages(vcenter.content.propertyCollector, spec)
    finally:
        view.DestroyView()


def read(
    vcenter: Vcenter, objects: Sequence[Any], paths: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the properties of objects of one kind, by id; a property that is not set is absent.

    Calls: one, and one more for each ``PAGE`` objects.
    """
    if not objects:
        return {}
    query = module().vmodl.query.PropertyCollector
    spec = query.FilterSpec(
        objectSet=[query.ObjectSpec(obj=managed) for managed in objects],
        propSet=[query.PropertySpec(type=type(objects[0]), pathSet=list(paths))],
        reportMissingObjectsInResults=False,
    )
    return {
        managed._GetMoId(): values
        for managed, values in _pages(vcenter.content.propertyCollector, spec)
    }


def hosts(vcenter: Vcenter, *, root: Any = None) -> list[HostFacts]:
    """Return every ESXi host below ``root`` with its model and size."""
    names = {
        "name": "name",
        "model": "summary.hardware.model",
        "cpu_model": "summary.hardware.cpuModel",
        "cores": "summary.hardware.numCpuCores",
        "threads": "summary.hardware.numCpuThreads",
        "mhz": "summary.hardware.cpuMhz",
        "memory": "summary.hardware.memorySize",
        "state": "summary.runtime.connectionState",
    }
    offered = "config.sharedPassthruGpuTypes"  # absent if there are none
    paths = [*names.values(), offered]
    rows = bulk(vcenter, module().vim.HostSystem, paths, root=root)
    return [
        HostFacts(
            id=host._GetMoId(),
            connected=properties.get(names["state"]) == "connected",
            gpus=tuple(properties.get(offered) or ()),
            **{key: properties[path] for key, path in names.items() if key != "state"},
        )
        for host, properties in rows
        # a host that never answered has no sizes
        if all(path in properties for path in names.values())
    ]


def _pages(collector: Any, spec: Any) -> list[tuple[Any, dict[str, Any]]]:
    query = module().vmodl.query.PropertyCollector
    rows: list[tuple[Any, dict[str, Any]]] = []
    page = collector.RetrievePropertiesEx([spec], query.RetrieveOptions(maxObjects=PAGE))
    while page is not None:
        rows += [
            (content.obj, {each.name: each.val for each in content.propSet or ()})
            for content in page.objects or ()
        ]
        if not page.token:
            break
        page = collector.ContinueRetrievePropertiesEx(page.token)
    return rows
