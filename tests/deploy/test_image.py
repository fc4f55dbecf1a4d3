"""The Dockerfile: its step of installation is the one that `make test-wheel` does here."""

import re
from importlib.metadata import version
from pathlib import Path

from tests.runs import REPOSITORY

DOCKERFILE = (REPOSITORY / "deploy" / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
MAKEFILE = (REPOSITORY / "Makefile").read_text("utf-8")
PROJECT = (REPOSITORY / "pyproject.toml").read_text("utf-8")


def test_the_step_of_installation_is_the_wheel_s() -> None:
    assert "RUN make environment WHEEL=/opt/gristmill EXTRAS=${EXTRAS}\n" in DOCKERFILE
    assert re.search(r"^test-wheel: .*\benvironment\b", MAKEFILE, re.MULTILINE)
    (ours,) = re.findall(r"^EXTRAS := (.*)$", MAKEFILE, re.MULTILINE)
    assert re.findall(r"^ARG EXTRAS=(.*)$", DOCKERFILE, re.MULTILINE) == [ours]
    for extra in ours.split(","):
        assert re.search(rf"^{extra} = ", PROJECT, re.MULTILINE), extra


def test_what_is_copied_is_there_and_all_that_the_wheel_is_made_of() -> None:
    copied = {
        name
        for words in re.findall(r"^COPY ([^-\n].*) \S+$", DOCKERFILE, re.MULTILINE)
        for name in words.split()
    }
    assert [name for name in copied if not (REPOSITORY / name).exists()] == []
    (listed,) = re.findall(r"^include = (.*)$", PROJECT, re.MULTILINE)
    packages = re.findall(r'"(\w+)\*"', listed)
    assert {"LICENSE", "README.md", "pyproject.toml", "Makefile", *packages} <= copied
    assert packages


def test_versions_are_those_of_the_tests() -> None:
    assert f"ARG BEAM={version('apache-beam')}\n" in DOCKERFILE
    pom = (REPOSITORY / "pipelines" / "engines" / "pom.xml").read_text("utf-8")
    (spark,) = re.findall(r"<spark.version>(.*)</spark.version>", pom)
    assert f"ARG SPARK={spark}\n" in DOCKERFILE
    page = (REPOSITORY / "deploy" / "kubernetes" / "spark.yaml").read_text("utf-8")
    assert f"apache/spark:{spark}" in page


def test_programs_that_the_image_names_are_copied_into_it() -> None:
    for place, source in (
        ("/opt/template/launcher.py", "deploy/dataflow/launcher.py"),
        ("/usr/local/bin/submit.sh", "deploy/spark/submit.sh"),
    ):
        assert Path(REPOSITORY / source).exists()
        assert place in DOCKERFILE
