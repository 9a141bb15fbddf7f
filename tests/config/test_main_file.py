from __future__ import annotations

from pathlib import Path

import pytest

from undivided.config.main_file import NEAR, Config, read_config, write_config
from undivided.config.yaml_nodes import FileError


@pytest.mark.parametrize("url", ["/srv/vault", "s3://b/p?region=x&y=#z", '/odd: "name"\n- x', "/ünï"])
def test_a_written_configuration_reads_back_whatever_the_address(url: str) -> None:
    assert read_config(write_config({NEAR: url}), "config.yaml") == Config({NEAR: url}, None)


def test_state_may_lie_in_another_directory() -> None:
    config = read_config("vaults: {near: /v, far: 's3://b'}\nstate: /srv/state\n", "config.yaml")
    assert config == Config({"near": "/v", "far": "s3://b"}, Path("/srv/state"))
    assert Config.of(config.as_record()) == config


def test_all_errors_of_a_configuration_are_reported_at_once() -> None:
    with pytest.raises(FileError) as caught:
        read_config("vaults: {far: 5}\nstate: here\nvault: x\n", "config.yaml")
    assert [(c.line, c.column, c.cause) for c in caught.value.complaints] == [
        (1, 1, "no vault named 'near'"),
        (1, 15, "vaults: far must be text, not a number"),
        (2, 8, "state must be an absolute path, not 'here'"),
        (3, 1, "unknown key 'vault'"),
    ]
    assert "HINT: Write vaults: {near: /path/of/the/vault}." in str(caught.value)
