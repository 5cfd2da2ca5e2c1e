"""A proxy over a stand-in for Envoy, in a folder of its own, and two tables to switch between."""

from __future__ import annotations

import json

from mlrelease.targets.local import xds
from mlrelease.targets.local.files import Layout
from mlrelease.targets.local.proxy import Proxy
from mlrelease.targets.local.state import Routed, Table
from support.fake_envoy import FakeSupervisor
from support.local_target import free_port


class World:
    """A proxy over fakes, in a folder of its own."""

    def __init__(self, folder):
        self.layout = Layout(folder)
        self.layout.make()
        self.supervisor = FakeSupervisor(self.layout)
        self.listen = f"127.0.0.1:{free_port()}"
        self.proxy = self.another()

    def another(self, listen=""):
        """What a later pass would work with."""
        proxy = Proxy(self.layout, listen or self.listen, self.supervisor)
        proxy.patience_s = 0.2
        return proxy

    def up(self):
        self.proxy.ensure(self.supervisor.found)
        return self

    @property
    def envoy(self):
        (envoy,) = self.supervisor.running.values()
        return envoy

    def taken(self):
        """What the proxy took since the last question, in order: clusters by name with their sockets, or weights."""
        taken, self.envoy.taken[:] = list(self.envoy.taken), []
        return [(kind, shown(kind, resources)) for kind, resources in taken]

    def edit(self, kind, change):
        file = self.layout.xds / f"{kind}.json"
        file.write_text(change(file.read_text()))


def shown(kind, resources):
    if kind == "cds":
        data = json.dumps({"resources": resources}).encode()
        return {name: sorted(members) for name, members in xds.read_members(data).items()}
    if kind == "lds":
        return resources[0]["address"]["socket_address"]["port_value"]
    routes = resources[0]["virtual_hosts"][0]["routes"]
    return {r["match"]["prefix"]: weights(r) for r in routes if "route" in r}


def weights(entry):
    return {c["name"]: c["weight"] for c in entry["route"]["weighted_clusters"]["clusters"]}


def table(**bundles):
    """One service `risk`: bundle=(weight, instance, …), the socket of instance `i` being `/s/i`."""
    members = {bundle: {i: f"/s/{i}" for i in instances} for bundle, (_, *instances) in bundles.items()}
    return Table({"risk": Routed({b: w for b, (w, *_) in bundles.items()}, members, "/risk/", "rev", 60.0)})


OLD, NEW = table(old=(100, "o1", "o2")), table(new=(100, "n1"))
OLD_ROUTES = {"/risk/": {"risk--old": 100}, "/": {"risk--old": 100}}
NEW_ROUTES = {"/risk/": {"risk--new": 100}, "/": {"risk--new": 100}}
OLD_CLUSTERS, NEW_CLUSTERS = {"risk--old": ["/s/o1", "/s/o2"]}, {"risk--new": ["/s/n1"]}
