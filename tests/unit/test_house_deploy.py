"""The deployment files against the code they start: structure, files, users, flags, settings."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import typer.main
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import click

# The part of the compose specification that compose.yaml uses: an unknown key is a typing error.
_NAMED = {"type": "object", "additionalProperties": {"type": ["object", "null"]}}
_STRINGS = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_COMPOSE = {
    "type": "object",
    "required": ["name", "services", "networks", "volumes"],
    "additionalProperties": False,
    "patternProperties": {"^x-": {}},
    "properties": {
        "name": {"type": "string"},
        "networks": _NAMED,
        "volumes": _NAMED,
        "services": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["image"],
                "additionalProperties": False,
                "properties": {
                    "build": {
                        "type": "object",
                        "required": ["context", "dockerfile"],
                        "additionalProperties": False,
                        "properties": {"context": {"type": "string"}, "dockerfile": {"type": "string"}},
                    },
                    "image": {"type": "string"},
                    "command": _STRINGS,
                    "entrypoint": _STRINGS,
                    "environment": {"type": "object", "additionalProperties": {"type": "string"}},
                    "volumes": _STRINGS,
                    "networks": _STRINGS,
                    "network_mode": {"enum": ["none"]},
                    "profiles": _STRINGS,
                    "restart": {"enum": ["no", "on-failure", "unless-stopped"]},
                    "read_only": {"type": "boolean"},
                    "cap_drop": _STRINGS,
                    "security_opt": _STRINGS,
                    "tmpfs": _STRINGS,
                    "shm_size": {"type": "string"},
                    "stop_grace_period": {"type": "string"},
                    "healthcheck": {"type": "object", "required": ["test"]},
                    "depends_on": {
                        "type": "object",
                        "additionalProperties": {
                            "type": "object",
                            "required": ["condition"],
                            "properties": {
                                "condition": {"enum": ["service_healthy", "service_completed_successfully"]},
                                "required": {"type": "boolean"},
                            },
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture(scope="module")
def compose(repository: Path) -> dict[str, Any]:
    return yaml.safe_load((repository / "deploy" / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def commands() -> dict[str, click.Command]:
    import central.cli
    import edge.cli

    return {
        "transplant-central": typer.main.get_command(central.cli.app),
        "transplant-edge": typer.main.get_command(edge.cli.app),
    }


# --- compose ---------------------------------------------------------------------------------------


def test_compose_has_the_structure_of_the_specification(compose: dict[str, Any]):
    jsonschema.validate(compose, _COMPOSE)


def test_compose_names_only_what_it_defines(compose: dict[str, Any]):
    for name, service in compose["services"].items():
        used = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert used <= set(compose["volumes"]), name
        assert set(service.get("networks", [])) <= set(compose["networks"]), name
        assert set(service.get("depends_on", {})) <= set(compose["services"]), name


def test_what_must_be_healthy_can_be(compose: dict[str, Any], repository: Path):
    for service in compose["services"].values():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                if "healthcheck" in compose["services"][needed]:
                    continue
                side = compose["services"][needed]["image"].removeprefix("transplant-")
                assert "HEALTHCHECK --" in (repository / "deploy" / f"Dockerfile.{side}").read_text()


def test_a_sites_kit_and_home_are_mounted_by_nobody_else(compose: dict[str, Any]):
    sites = [name for name in compose["services"] if name.startswith("digit-")]
    assert len(sites) == 5
    for site in sites:
        holders = [
            name
            for name, service in compose["services"].items()
            if any(
                volume.startswith((f"home-{site}:", f"kit-{site}:")) for volume in service.get("volumes", [])
            )
        ]
        assert sorted(holders) == [site, f"provision-{site}"]
        assert f"kit-{site}:/kit:ro" in compose["services"][site]["volumes"]


def test_a_compose_client_accepts_it(repository: Path, tmp_path: Path):
    file = repository / "deploy" / "compose.yaml"
    if shutil.which("docker") and _succeeds("docker", "compose", "version"):
        client = ["docker", "compose"]
    elif shutil.which("docker-compose"):
        client = ["docker-compose"]
        document = yaml.safe_load(file.read_text())
        del document["name"]  # the first generation of clients knows neither this nor optional dependencies
        for service in document["services"].values():
            for how in service.get("depends_on", {}).values():
                how.pop("required", None)
        file = tmp_path / "compose.yaml"
        file.write_text(yaml.safe_dump(document))
    else:
        pytest.skip("no compose client on this machine")
    done = subprocess.run(
        [*client, "-f", str(file), "--profile", "postgres", "config", "--quiet"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


# --- images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["central", "edge"])
def test_an_image_copies_what_exists_and_ends_as_an_ordinary_user(repository: Path, side: str):
    lines = (repository / "deploy" / f"Dockerfile.{side}").read_text().replace("\\\n", " ").splitlines()
    for line in lines:
        if line.startswith("COPY ") and "--from=" not in line:
            for source in line.split()[1:-1]:
                assert (repository / source).exists(), line
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users
    assert users[-1] not in {"root", "0"}
    started = [index for index, line in enumerate(lines) if line.startswith(("ENTRYPOINT", "CMD"))]
    assert min(started) > max(index for index, line in enumerate(lines) if line.startswith("USER "))
    assert not [line for line in lines if line.startswith("ADD ")]


@pytest.mark.parametrize("side", ["central", "edge"])
def test_an_image_is_built_of_what_compose_says(compose: dict[str, Any], repository: Path, side: str):
    builds = [
        each["build"]
        for each in compose["services"].values()
        if each.get("image") == f"transplant-{side}" and "build" in each
    ]
    assert builds
    for build in builds:
        folder = (repository / "deploy" / build["context"]).resolve()
        assert folder == repository
        assert (folder / build["dockerfile"]).name == f"Dockerfile.{side}"


# --- services --------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["transplant-central.service", "transplant-edge@.service"])
def test_systemd_accepts_the_unit(repository: Path, tmp_path: Path, unit: str):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze on this machine")
    text = (repository / "deploy" / "systemd" / unit).read_text()
    # The program of an installed system is not on this one; everything else is checked as it stands.
    text, replaced = re.subn(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE)
    assert replaced == 1
    copy = tmp_path / unit.replace("@", "@digit-0")
    copy.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if unit.split(".")[0].split("@")[0] in line]
    assert (done.returncode, complaints) == (0, [])


@pytest.mark.parametrize("unit", ["transplant-central.service", "transplant-edge@.service"])
def test_a_unit_is_hardened_and_its_user_exists(repository: Path, unit: str):
    folder = repository / "deploy" / "systemd"
    text = (folder / unit).read_text()
    settings = dict(
        line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#")
    )
    assert settings["ProtectSystem"] == "strict"
    assert settings["NoNewPrivileges"] == "yes"
    assert settings["StateDirectory"]
    assert f"u {settings['User']} " in (folder / "transplant-sysusers.conf").read_text()


# --- the code they start ---------------------------------------------------------------------------


def _started(compose: dict[str, Any], repository: Path) -> Iterator[list[str]]:
    """Yield every command of ours in the deployment files, its program first."""
    for service in compose["services"].values():
        words = service.get("command", [])
        if service.get("entrypoint"):  # a shell: take our commands out of its script
            for script in words:
                for part in re.findall(r"transplant-(?:central|edge) [^&|;}]*", script):
                    yield shlex.split(part)
        elif words and service["image"].startswith("transplant-"):
            yield [service["image"], *words]
    for unit in (repository / "deploy" / "systemd").glob("*.service"):
        start = re.search(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
        assert start
        words = start.group(1).split()
        yield [words[0].rsplit("/", 1)[1], *words[1:]]
    for side in ("central", "edge"):
        text = (repository / "deploy" / f"Dockerfile.{side}").read_text()
        for before, words in re.findall(
            r"^(?:    )?(HEALTHCHECK.*\\\n\s+)?CMD (\[.*\])$", text, re.MULTILINE
        ):
            command = yaml.safe_load(words)
            yield command if before else [f"transplant-{side}", *command]


def test_every_command_and_flag_exists(
    compose: dict[str, Any], repository: Path, commands: dict[str, click.Command]
):
    seen = 0
    for program, *words in _started(compose, repository):
        command = commands[program]
        while isinstance(getattr(command, "commands", None), dict):
            command, words = command.commands[words[0]], words[1:]
        flags = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        unknown = [word for word in words if word.startswith("--") and word not in flags]
        assert unknown == [], (program, command.name)
        seen += 1
    assert seen >= 15


def test_every_setting_exists(compose: dict[str, Any]):
    from central.settings import CentralSettings
    from edge.settings import EdgeSettings

    known = {f"TRANSPLANT_CENTRAL_{name.upper()}" for name in CentralSettings.model_fields}
    known |= {f"TRANSPLANT_EDGE_{name.upper()}" for name in EdgeSettings.model_fields}
    used = {
        name
        for service in compose["services"].values()
        for name in service.get("environment", {})
        if name.startswith("TRANSPLANT_")
    }
    assert used
    assert used <= known
