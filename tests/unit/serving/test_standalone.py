from __future__ import annotations

import pytest
from mlrelease.errors import Error
from mlrelease.serving.standalone import standalone_config
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
