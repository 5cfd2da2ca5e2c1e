"""The one table of deadlines: every outside call and every step of a rollout ends by one of these, and is named.

Seconds. A source stands beside each figure that is not plain judgement.
"""

from __future__ import annotations

from types import MappingProxyType

DEADLINES_S: MappingProxyType[str, float] = MappingProxyType(
    {
        # git
        "git.local": 30.0,
        "git.remote": 20.0,  # one fetch or push; the agent polls again anyway
        # MLflow: a dead server is reported in under 15 s (the client's own retries take 246 s)
        "mlflow.connect": 3.0,
        "mlflow.read": 10.0,
        "mlflow.total": 12.0,
        "mlflow.download": 600.0,
        "mlflow.client.start": 60.0,  # importing mlflow: 1.4 s alone, and the machine may be busy
        "mlflow.client": 15.0,  # one question to a database or an artifact store, whose own retries last for minutes
        # one instance of a service
        "instance.start": 120.0,  # process start to ready: importing and loading a model
        "instance.start.model": 0.5,  # and for each model of it: 6-20 ms for a small one, on a busy machine several times that
        "instance.answer": 10.0,  # one health, identity or golden request
        "instance.look": 3.0,  # one look at health and identity while observing; "not yet" is not "bad"
        "instance.drain": 30.0,
        "instance.stop": 40.0,
        "interpreter.look": 20.0,  # one start of a service's own interpreter: 0.1 s alone
        # proxy
        "proxy.start": 10.0,
        "proxy.confirm": 10.0,  # a moved xDS file is live after 5 ms; more means rejected or dead
        "proxy.request": 60.0,  # the route's own timeout
        "supervisor.start": 10.0,
        "supervisor.call": 10.0,
        # golden predictions, computed in isolation
        "golden.compute": 120.0,
        # the files of one version, looked through for what loading would run: 0.6 million opcodes a second
        "scan": 300.0,
        # one writer per state_dir
        "fence.wait": 10.0,
        # ledger lock: a pass that has not finished by then has lost it
        "pass": 900.0,
        "lock.wait": 60.0,
        "agent.answer": 900.0,
        # the user's own hooks and signing run in it
        "git.commit": 120.0,
        # one append to the ledger with all its tries against other writers
        "ledger.append": 60.0,
        "ledger.spool": 10.0,  # the lock around writing spool files: milliseconds each
        # GitHub: one call with all its tries; waiting that GitHub itself asks for counts apart, an hour's limit is reported
        "github.connect": 5.0,
        "github.read": 15.0,
        "github.total": 30.0,
        "github.limit": 90.0,  # secondary limits ask for a minute
        "release.version": 120.0,  # bump-my-version: 0.8 s alone; the user's own hooks run in it
        # one notice to one receiver; sent beside the passes, which wait for none of them
        "webhook.connect": 3.0,
        "webhook.read": 5.0,
        "notices": 10.0,  # a `deploy` by hand waits so long for people to be told before it ends
        # doctor: each question has deadlines of its own, this is for them all
        "doctor.all": 45.0,
        "doctor.run": 20.0,  # one program that says its version: 0.1 s, on a busy machine more
        # an image registry: one manifest's headers; with a token three calls
        "image.connect": 3.0,
        "image.read": 10.0,
        "image.total": 12.0,
        # the demo
        "demo.mlflow": 90.0,  # 4.5-6.8 s alone on two cores, and the machine may be busy
        "demo.models": 240.0,  # 36 versions: 0.25 s each, once the server is up and the libraries are imported
        "demo.step": 300.0,  # one command; each of its own steps has its deadline
        "demo.proof": 240.0,  # the agent proves a revert: 3 s warm; 34 new forecasts: 12 s, and the machine may be busy
        "demo.request": 10.0,  # one request of the load; later is a failure
        "demo.stop": 20.0,  # a process that was asked to end
    }
)
