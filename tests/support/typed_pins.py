"""Command lines that write pins, files and releases, each with what must arrive behind the parser."""

from __future__ import annotations

from mlrelease.commands.bump import BumpOptions
from mlrelease.commands.import_pins import ImportOptions
from mlrelease.commands.new import NewEnvironment, NewModel, NewService
from mlrelease.commands.promote import PromoteOptions
from mlrelease.commands.release.cut import ReleaseOptions
from mlrelease.commands.release.verify import VerifyOptions
from mlrelease.commands.rollback import RollbackOptions
from mlrelease.model.release import Level
from support.typed_runs import case

PINS = [
    case(
        "bump",
        "bump p",
        "commands.bump.bump",
        *("p", ()),
        BumpOptions(to="", commit=True, push=False, services=(), pr=False, reopen=False),
    ),
    case(
        "bump and push",
        "bump p n m --to 7 --service a -s b --push",
        "commands.bump.bump",
        *("p", ("n", "m")),
        BumpOptions(to="7", commit=True, push=True, services=("a", "b"), pr=False, reopen=False),
    ),
    case(
        "bump without a commit",
        "bump p m --no-commit",
        "commands.bump.bump",
        *("p", ("m",)),
        BumpOptions(to="", commit=False, push=False, services=(), pr=False, reopen=False),
    ),
    case(
        "bump in a new proposal",
        "bump p --pr",
        "commands.bump.bump",
        *("p", ()),
        BumpOptions(to="", commit=True, push=False, services=(), pr=True, reopen=False),
    ),
    case(
        "bump in a proposal",
        "bump p m --pr --reopen --commit",
        "commands.bump.bump",
        *("p", ("m",)),
        BumpOptions(to="", commit=True, push=False, services=(), pr=True, reopen=True),
    ),
    case(
        "promote",
        "promote s p",
        "commands.promote.promote",
        *("s", "p"),
        PromoteOptions(services=(), models=(), images=True, commit=True, push=False, pr=False, reopen=False),
    ),
    case(
        "promote and push",
        "promote s p -s a -s b -m n --model m --no-image --push",
        "commands.promote.promote",
        *("s", "p"),
        PromoteOptions(services=("a", "b"), models=("n", "m"), images=False, commit=True, push=True, pr=False, reopen=False),
    ),
    case(
        "promote in a new proposal",
        "promote s p --pr",
        "commands.promote.promote",
        *("s", "p"),
        PromoteOptions(services=(), models=(), images=True, commit=True, push=False, pr=True, reopen=False),
    ),
    case(
        "promote without a commit",
        "promote s p --no-commit",
        "commands.promote.promote",
        *("s", "p"),
        PromoteOptions(services=(), models=(), images=True, commit=False, push=False, pr=False, reopen=False),
    ),
    case(
        "promote in a proposal",
        "promote s p --image --commit --pr --reopen",
        "commands.promote.promote",
        *("s", "p"),
        PromoteOptions(services=(), models=(), images=True, commit=True, push=False, pr=True, reopen=True),
    ),
    case(
        "rollback",
        "rollback p",
        "commands.rollback.rollback",
        "p",
        RollbackOptions(service="", model="", to="", to_release="", now=False, push=True, force="", pr=False),
    ),
    case(
        "rollback of one model",
        "rollback p --service a --model m --to 7 --now --force 'it was fine'",
        "commands.rollback.rollback",
        "p",
        RollbackOptions(service="a", model="m", to="7", to_release="", now=True, push=True, force="it was fine", pr=False),
    ),
    case(
        "rollback to the last good",
        "rollback p --last-good --no-push -s a -m m",
        "commands.rollback.rollback",
        "p",
        RollbackOptions(service="a", model="m", to="", to_release="", now=False, push=False, force="", pr=False),
    ),
    case(
        "rollback to a release",
        "rollback p --to-release v1.2.0 -s a --pr",
        "commands.release.restore.restore",
        "p",
        RollbackOptions(service="a", model="", to="", to_release="v1.2.0", now=False, push=True, force="", pr=True),
    ),
    case(
        "new environment",
        "new environment e",
        "commands.new.new_environment",
        "e",
        NewEnvironment(listen="", tracking_uri="", alias="", promotes_from="", approval="", like="", commit=True),
    ),
    case(
        "new environment with all",
        "new environment e --listen h:1 --tracking-uri u --alias a --promotes-from s --approval none --like l --no-commit",
        "commands.new.new_environment",
        "e",
        NewEnvironment(listen="h:1", tracking_uri="u", alias="a", promotes_from="s", approval="none", like="l", commit=False),
    ),
    case(
        "new service",
        "new service p a",
        "commands.new.new_service",
        *("p", "a"),
        NewService(image="", replicas=0, like="", commit=True),
    ),
    case(
        "new service with all",
        "new service p a --image i --replicas 64 --like s/a --no-commit",
        "commands.new.new_service",
        *("p", "a"),
        NewService(image="i", replicas=64, like="s/a", commit=False),
    ),
    case(
        "new model",
        "new model p m",
        "commands.new.new_model",
        *("p", "m"),
        NewModel(service="", version="", like="", commit=True),
    ),
    case(
        "new model with all",
        "new model p m -s a --version 7 --like n --no-commit",
        "commands.new.new_model",
        *("p", "m"),
        NewModel(service="a", version="7", like="n", commit=False),
    ),
    case(
        "import",
        "import p",
        "commands.import_pins.import_pins",
        "p",
        ImportOptions(alias="", service="", models=(), golden=True, dry_run=False),
    ),
    case(
        "import with all",
        "import p --alias champion -s a -m n --model m --no-golden --dry-run",
        "commands.import_pins.import_pins",
        "p",
        ImportOptions(alias="champion", service="a", models=("n", "m"), golden=False, dry_run=True),
    ),
    *(
        case(
            f"release {level}",
            f"release {level}",
            "commands.release.cut.release",
            ReleaseOptions(level=Level(level), environments=("production",), dry_run=False, push=True),
        )
        for level in ("auto", "major", "minor", "patch")
    ),
    *(
        case(
            f"release {level} with all",
            f"release {level} -e b --environment a -e b --dry-run --no-push",
            "commands.release.cut.release",
            ReleaseOptions(level=Level(level), environments=("b", "a"), dry_run=True, push=False),
        )
        for level in ("auto", "major", "minor", "patch")
    ),
    *(
        case(
            f"release {level} in a proposal",
            f"release {level} --pr -e a",
            "commands.release.proposal.propose",
            ReleaseOptions(level=Level(level), environments=("a",), dry_run=False, push=True),
        )
        for level in ("auto", "major", "minor", "patch")
    ),
    case(
        "release in a proposal, only shown",
        "release auto --pr --dry-run",
        "commands.release.cut.release",
        ReleaseOptions(level=Level.AUTO, environments=("production",), dry_run=True, push=True),
    ),
    case("release publish", "release publish", "commands.release.publish.publish", ""),
    case("release publish one", "release publish v1.2.0", "commands.release.publish.publish", "v1.2.0"),
    case(
        "release verify",
        "release verify v1.2.0",
        "commands.release.verify.verify",
        "v1.2.0",
        VerifyOptions(deep=False, images=False),
    ),
    case(
        "release verify the bytes",
        "release verify v1.2.0 --deep",
        "commands.release.verify.verify",
        "v1.2.0",
        VerifyOptions(deep=True, images=False),
    ),
    case(
        "release verify the images",
        "release verify v1.2.0 --images",
        "commands.release.verify.verify",
        "v1.2.0",
        VerifyOptions(deep=False, images=True),
    ),
]
