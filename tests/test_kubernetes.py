"""The Kubernetes manifests: valid by the published schemas, and in step with the service."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.main import SPARE_WORKERS
from app.settings import PREFIX, Settings

FOLDER = Path("docker/kubernetes/cpu")
GPU = Path("docker/kubernetes/gpu")
KUSTOMIZED = ("kustomization.yaml",)
FILES = sorted(path for folder in (FOLDER, GPU) for path in folder.glob("*.yaml") if path.name not in KUSTOMIZED)
DEPLOYMENTS = [path for path in FILES if path.name == "deployment.yaml"]
KUBECTL = shutil.which("kubectl")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pod() -> Any:
    return read(FOLDER / "deployment.yaml")["spec"]["template"]


def merged(below: Any, above: Any) -> Any:
    """A strategic merge: mappings by key, lists of named things by name."""
    if isinstance(below, dict):
        return below | {key: merged(below[key], value) if key in below else value for key, value in above.items()}
    if isinstance(below, list):
        named = [{thing["name"]: thing for thing in things} for things in (below, above)]
        return list(merged(*named).values())
    return above


def whole(path: Path) -> Any:
    """A patch is no whole document: over the one that it changes."""
    document = read(path)
    return document if path.parent == FOLDER else merged(read(FOLDER / path.name), document)


def applied(folder: Path) -> dict[str, Any]:
    """By kind, what kubectl would apply."""
    rendered = subprocess.run([str(KUBECTL), "kustomize", str(folder)], capture_output=True, text=True, check=True)
    return {document["kind"]: document for document in yaml.safe_load_all(rendered.stdout)}


def environment(container: Any) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"]}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_each_is_valid_by_the_published_schema(path: Path) -> None:
    kubernetes_validate.validate(whole(path), "1.33", strict=True)


@pytest.mark.skipif(KUBECTL is None, reason="needs kubectl")
@pytest.mark.parametrize("folder", [FOLDER, GPU], ids=str)
def test_kubectl_makes_the_same_of_them(folder: Path) -> None:
    documents = applied(folder)
    for document in documents.values():
        kubernetes_validate.validate(document, "1.33", strict=True)
    container = documents["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    expected = whole(folder / "deployment.yaml")["spec"]["template"]["spec"]["containers"][0]
    assert environment(container) == environment(expected)
    assert container["resources"] == expected["resources"]


@pytest.mark.skipif(KUBECTL is None, reason="needs kubectl")
@pytest.mark.parametrize("folder", [FOLDER, GPU], ids=str)
def test_the_image_is_the_one_named_in_the_folder_that_is_applied(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(FOLDER.parent, tmp_path, dirs_exist_ok=True)
    for kind in (FOLDER.name, GPU.name):
        path = tmp_path / kind / "kustomization.yaml"
        kustomization = read(path)
        kustomization["images"][0]["newName"] = f"registry.example/{kind}"
        path.write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    container = applied(tmp_path / folder.name)["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    tag = read(folder / "kustomization.yaml")["images"][0]["newTag"]
    assert container["image"] == f"registry.example/{folder.name}:{tag}"


def test_each_folder_has_the_image_that_its_kustomization_renames() -> None:
    for folder in (FOLDER, GPU):
        container = read(folder / "deployment.yaml")["spec"]["template"]["spec"]["containers"][0]
        assert [container["image"]] == [image["name"] for image in read(folder / "kustomization.yaml")["images"]]


def test_every_file_is_applied() -> None:
    kustomization = read(FOLDER / "kustomization.yaml")
    assert sorted(kustomization["resources"]) == [path.name for path in FILES if path.parent == FOLDER]


def test_the_environment_names_settings_and_values_that_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in DEPLOYMENTS:
        for variable in read(path)["spec"]["template"]["spec"]["containers"][0]["env"]:
            assert variable["name"].removeprefix(PREFIX).lower() in Settings.model_fields
            monkeypatch.setenv(variable["name"], variable["value"])
    Settings()


def test_it_ends_before_it_is_killed(pod: Any) -> None:
    values = environment(pod["spec"]["containers"][0])
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


@pytest.mark.parametrize("path", DEPLOYMENTS, ids=str)
def test_workers_and_threads_go_by_the_limits(path: Path) -> None:
    """As the service would choose them by itself on a machine with as many cores."""
    container = whole(path)["spec"]["template"]["spec"]["containers"][0]
    values, limits = environment(container), container["resources"]["limits"]
    in_batches = 2 * max(map(int, Settings().batch_sizes.split(","))) if "nvidia.com/gpu" in limits else 0
    assert int(values["POLYPRUNE_THREADS"]) == int(limits["cpu"])
    assert int(values["POLYPRUNE_WORKERS"]) == int(limits["cpu"]) + in_batches + SPARE_WORKERS
