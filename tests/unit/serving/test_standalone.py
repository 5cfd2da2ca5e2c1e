from __future__ import annotations

import os
import platform

import pytest
from mlrelease.errors import Error
from mlrelease.serving import standalone
from mlrelease.serving.standalone import LIBRARIES, runtime, standalone_config
from support.served import artifact


@pytest.fixture
def model(tmp_path):
    """A folder that looks like a model; nothing loads it here."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    return folder


def test_without_a_digest_the_folders_own_is_named(model):
    """The identity then says what is really served."""
    config = standalone_config(model, name="risk", version="1", digest=None, listen="127.0.0.1:8080")
    assert (config.service, config.bundle, config.models[0]) == ("risk", "standalone", artifact(model, "risk", "1"))
    assert "mlflow" in config.runtime


def test_another_digest_is_refused(model):
    """A pin that does not fit the folder is an error before anything starts."""
    true = artifact(model).digest
    assert standalone_config(model, name="risk", version="1", digest=true, listen="127.0.0.1:1").models[0].digest == true
    with pytest.raises(Error, match="not those of the digest"):
        standalone_config(model, name="risk", version="1", digest="sha256:" + "0" * 64, listen="127.0.0.1:1")


def test_a_folder_without_a_model_is_refused(tmp_path):
    """The message says what is missing."""
    with pytest.raises(Error, match="no file MLmodel"):
        standalone_config(tmp_path, name="risk", version="1", digest=None, listen="127.0.0.1:1")


def test_an_address_that_is_none_is_refused(model):
    """The same checks as for a configuration file."""
    with pytest.raises(Error, match="listen"):
        standalone_config(model, name="risk", version="1", digest=None, listen="8080")


def test_a_service_may_be_called_otherwise_than_its_model(model):
    """Its instance is named after it, and by its process."""
    config = standalone_config(model, name="risk", version="1", digest=None, listen="127.0.0.1:8080", service="credit")
    assert (config.service, config.instance, config.models[0].name) == ("credit", f"credit-{os.getpid()}", "risk")
    assert (config.image, config.listen, config.models[0].golden) == ("standalone", "127.0.0.1:8080", None)


def test_a_link_to_a_model_is_the_model(model, tmp_path):
    """What is served is where the files really lie, and a relative path is one from here."""
    (tmp_path / "latest").symlink_to(model)
    config = standalone_config(tmp_path / "latest", name="risk", version="1", digest=None, listen="127.0.0.1:8080")
    assert config.models[0].path == model


@pytest.mark.parametrize(
    ("digest", "message", "hint"),
    [
        (None, "no MLflow model in this folder: it has no file MLmodel", "point MODEL_PATH at the folder that holds MLmodel"),
        (
            "sha256:" + "0" * 64,
            "the model's files are not those of the digest: expected sha256:{zeros}, found {found}",
            "nothing was loaded; get the files again, or leave the digest away",
        ),
    ],
    ids=["no model", "another model"],
)
def test_what_cannot_be_served_says_what_to_do(model, digest, message, hint):
    """Whole, as a person reads it, with the folder as it was given."""
    found = artifact(model).digest
    if digest is None:
        (model / "MLmodel").unlink()
    with pytest.raises(Error) as caught:
        standalone_config(model, name="risk", version="1", digest=digest, listen="127.0.0.1:1")
    assert caught.value.message == message.format(zeros="0" * 64, found=found)
    assert (caught.value.hint, caught.value.where) == (hint, str(model))


def test_the_runtime_names_what_answers_depend_on(monkeypatch):
    """Python first, then what is installed of the list, in its order."""
    said = runtime()
    assert said.startswith(f"python {platform.python_version()} mlflow-skinny ")
    names = said.split()[::2]
    assert names == ["python", *[name for name in LIBRARIES if name in names]]
    monkeypatch.setattr(standalone, "LIBRARIES", ("no-such-package-anywhere",))
    assert runtime() == f"python {platform.python_version()}"
