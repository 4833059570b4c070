"""Settings come from HOPFIX_* variables, and flags win over them."""

from __future__ import annotations

from inspect import signature

import pytest

from correction.errors import InvalidInput
from service.commands.serve import command
from service.settings import Settings


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPFIX_PORT", "9000")
    assert Settings.read().port == 9000
    assert Settings.read(port=9001).port == 9001
    assert Settings.read(port=None).port == 9000


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPFIX_API_KEY", "")
    assert Settings.read().api_key is None


def test_a_wrong_value_names_its_flag_and_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPFIX_MAX_IN_FLIGHT", "many")
    with pytest.raises(InvalidInput, match="--max-in-flight or HOPFIX_MAX_IN_FLIGHT"):
        Settings.read()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org"])
def test_other_machines_need_a_key_or_insecure(host: str) -> None:
    with pytest.raises(InvalidInput, match="--insecure"):
        Settings.read(host=host)
    Settings.read(host=host, api_key="key")
    Settings.read(host=host, insecure=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_does_not(host: str) -> None:
    Settings.read(host=host)


def test_the_key_is_masked() -> None:
    assert "hush" not in str(list(Settings.read(api_key="hush")))


def test_the_key_of_a_vllm_server_is_masked() -> None:
    assert "hush" not in str(list(Settings.read(vllm_url="http://localhost:8000", vllm_key="hush")))


def test_a_vllm_server_has_a_url() -> None:
    with pytest.raises(InvalidInput, match="--vllm-url or HOPFIX_VLLM_URL"):
        Settings.read(vllm_url="localhost:8000")


def test_every_setting_is_an_option_of_serve() -> None:
    for name, option in signature(command).parameters.items():
        assert name in Settings.model_fields
        assert Settings.model_fields[name].description
        assert option.default is None  # not given: the environment counts
    assert len(signature(command).parameters) == len(Settings.model_fields)


def test_workers_share_a_vllm_or_have_none() -> None:
    with pytest.raises(InvalidInput, match="--vllm-url"):
        Settings.read(workers=2, engine="vllm")
    Settings.read(workers=2, engine="hf+vllm", vllm_url="http://localhost:8000")
    Settings.read(workers=2)


@pytest.mark.parametrize("rate", [0.0, -1.0, 1e-320, float("inf"), float("nan")])
def test_a_rate_is_a_number_that_one_can_wait_for(rate: float) -> None:
    with pytest.raises(InvalidInput, match="--rate"):
        Settings.read(rate=rate)
