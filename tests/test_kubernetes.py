"""The Kubernetes manifests: valid by the published schemas, and in step with the service."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.settings import PREFIX, Settings

FOLDER = Path("docker/kubernetes")
KUSTOMIZED = ("kustomization.yaml",)
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if path.name not in KUSTOMIZED)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pod() -> Any:
    return read(FOLDER / "deployment.yaml")["spec"]["template"]


def whole(path: Path) -> Any:
    """A patch is no whole document: over the deployment that it changes."""
    document = read(path)
    if path.parent == FOLDER:
        return document
    container = document["spec"]["template"]["spec"]["containers"][0]
    result = read(FOLDER / path.name)
    result["spec"]["template"]["spec"]["containers"][0] |= container
    return result


@pytest.mark.parametrize("path", FILES, ids=str)
def test_each_is_valid_by_the_published_schema(path: Path) -> None:
    kubernetes_validate.validate(whole(path), "1.33", strict=True)


def test_every_file_is_applied() -> None:
    kustomization = read(FOLDER / "kustomization.yaml")
    assert sorted(kustomization["resources"]) == [path.name for path in FILES if path.parent == FOLDER]


def test_the_environment_names_settings_and_values_that_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in FOLDER.rglob("deployment.yaml"):
        for variable in read(path)["spec"]["template"]["spec"]["containers"][0]["env"]:
            assert variable["name"].removeprefix(PREFIX).lower() in Settings.model_fields
            monkeypatch.setenv(variable["name"], variable["value"])
    Settings()


def test_it_ends_before_it_is_killed(pod: Any) -> None:
    values = {variable["name"]: variable["value"] for variable in pod["spec"]["containers"][0]["env"]}
    end = float(values["POLYPRUNE_DRAIN_SECONDS"]) + float(values["POLYPRUNE_GRACE_SECONDS"])
    assert end < pod["spec"]["terminationGracePeriodSeconds"]


def test_everything_selects_the_same_pods(pod: Any) -> None:
    labels = pod["metadata"]["labels"]
    selectors = [
        read(FOLDER / "deployment.yaml")["spec"]["selector"]["matchLabels"],
        read(FOLDER / "service.yaml")["spec"]["selector"],
        read(FOLDER / "disruption.yaml")["spec"]["selector"]["matchLabels"],
        read(FOLDER / "network.yaml")["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(one == two for one, two in itertools.pairwise([labels, *selectors]))


def test_it_runs_as_the_images_user_on_a_read_only_file_system(pod: Any) -> None:
    user = pod["spec"]["securityContext"]["runAsUser"]
    assert f"USER {user}\n" in Path("docker/Dockerfile").read_text(encoding="utf-8")
    assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
