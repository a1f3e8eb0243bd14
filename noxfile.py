"""What can be done to this project: ``nox -l`` lists it, ``nox -s tests`` tests it.

A session makes its own environment, so none of them needs more than Python and nox. ``nox -s NAME -- ARGUMENT...``
hands arguments on.
"""

from __future__ import annotations

import filecmp
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "layers", "tests"]
nox.options.reuse_venv = "yes"

HERE = Path(__file__).parent
PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = [version for version in nox.project.python_versions(PYPROJECT) if version]
PROTO = Path("proto/gproc/v1/jobs.proto")
GENERATED = Path("gproc/wire/_generated")
WORKERS = ("-n", "auto", "--dist", "loadfile")  # one process for each processor; the tests of a file share its server
CHECKED = ("gproc", "tests", "noxfile.py", "docs")


@nox.session
def lint(session: nox.Session) -> None:
    """Look for bad habits and wrong format. ``-- --fix`` mends what can be mended."""
    install_groups(session, "lint")
    if "--fix" in session.posargs:
        session.run("ruff", "check", "--fix", *CHECKED)
        session.run("ruff", "format", *CHECKED)
    else:
        session.run("ruff", "check", *CHECKED)
        session.run("ruff", "format", "--check", *CHECKED)


@nox.session
def types(session: nox.Session) -> None:
    """Check types strictly, tests included."""
    install_groups(session, "type", "bench", "docs", "pictures")
    session.install("nox")
    session.install("-e", ".[testing]")
    session.run("mypy", *(session.posargs or CHECKED))


@nox.session
def layers(session: nox.Session) -> None:
    """Check who imports whom: the house of ARCHITECTURE.md."""
    install_groups(session, "lint")
    session.install("-e", ".")
    session.run("lint-imports")


@nox.session
def proto(session: nox.Session) -> None:
    """Rebuild what is generated from the proto. ``-- --check`` fails if that would change a file."""
    install_groups(session, "proto")
    with tempfile.TemporaryDirectory() as directory:
        fresh = Path(directory, "generated")  # the directory above is private, and its copy would be so, too
        fresh.mkdir()
        generate(session, fresh)
        if "--check" in session.posargs:
            drift = sorted(differences(fresh, GENERATED))
            if drift:
                session.error(f"{', '.join(drift)}: not what {PROTO} says; run `nox -s proto` and commit")
        else:
            shutil.copytree(fresh, GENERATED, dirs_exist_ok=True)


@nox.session
def unit(session: nox.Session) -> None:
    """Run the unit tests against the checkout: the quickest answer while writing."""
    install_groups(session, "test")
    session.install("-e", ".[testing]")
    session.run("pytest", "tests/unit", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test against the wheel that users get, not the checkout."""
    test_the_wheel(session, *session.posargs)


@nox.session
def minimums(session: nox.Session) -> None:
    """Run the unit tests with the oldest of each library that pyproject.toml allows."""
    install_groups(session, "test")
    session.install("-e", ".[testing]")
    bounds = [library.partition(",")[0] for library in PYPROJECT["project"]["dependencies"]]
    session.install(*(bound.replace(">=", "==") for bound in bounds))
    session.run("pytest", *WORKERS, "tests/unit", *session.posargs)


@nox.session(python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """Run every test on each Python that is supported and installed here."""
    test_the_wheel(session, *session.posargs)


@nox.session(name="property")
def properties(session: nox.Session) -> None:
    """Run the property tests with many more examples."""
    test_the_wheel(session, "tests/property", "--hypothesis-profile=thorough", "--timeout=600", *session.posargs)


@nox.session
def cover(session: nox.Session) -> None:
    """Run every test and fail under 95 % of branches; processes that the tests start are measured, too."""
    install_groups(session, "test")
    session.install("-e", ".[testing]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine")
    session.run("coverage", "report", "--fail-under=95")


@nox.session
def chaos(session: nox.Session) -> None:
    """Kill, cut, fill and stall at random, and print the table of what was lost: nothing."""
    install_groups(session, "test")
    session.install(".[testing]")
    session.run("python", "tests/chaos/run.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure Gproc beside its peers: ``-- --list`` shows the measures, ``-- NAME`` runs one."""
    install_groups(session, "bench")
    session.install(".[testing,fast]")
    session.run("python", "tests/bench/bench.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build; a reference that leads nowhere is an error."""
    install_groups(session, "docs")
    session.install("-e", ".[testing]")
    session.run("python", "docs/cli_reference.py", "--check")
    session.run("sphinx-build", "-W", "--keep-going", "-n", "-b", "html", "docs", "docs/_build", *session.posargs)


@nox.session
def pictures(session: nox.Session) -> None:
    """Take the pictures of the documentation again: real commands on a real terminal."""
    install_groups(session, "pictures")
    session.install("-e", ".[testing]")
    session.run("python", "docs/pictures.py")


@nox.session
def build(session: nox.Session) -> None:
    """Build wheel and source archive into dist/, and see that the wheel is whole."""
    session.install("build")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build")
    (wheel,) = Path("dist").glob("*.whl")
    listing = session.run("python", "-m", "zipfile", "-l", str(wheel), silent=True) or ""
    for needed in ("gproc/py.typed", "gproc/wire/_generated/gproc/v1/__init__.py", "gproc/wire/_generated/jobs.binpb"):
        if needed not in listing:
            session.error(f"{wheel}: {needed} is missing")


def install_groups(session: nox.Session, *groups: str) -> None:
    """Install dependency groups of pyproject.toml; the pip of Python 3.11 cannot read them itself."""
    session.install(*nox.project.dependency_groups(PYPROJECT, *groups))


def test_the_wheel(session: nox.Session, *arguments: str) -> None:
    """Install the project as users do, and run pytest on it."""
    install_groups(session, "test")
    session.install("--force-reinstall", "--no-deps", ".")
    session.install(".[testing]")
    session.run("pytest", *WORKERS, *arguments)


def generate(session: nox.Session, target: Path) -> None:
    """Generate the messages, and the description that server reflection serves, into *target*."""
    session.run(
        *("python", "-m", "grpc_tools.protoc", f"-I{PROTO.parts[0]}", f"--python_betterproto_out={target}"),
        *(
            f"--descriptor_set_out={target / 'jobs.binpb'}",
            "--include_imports",
            *map(str, sorted(Path(PROTO.parts[0]).rglob("*.proto"))),
        ),
    )


def differences(fresh: Path, kept: Path) -> Iterator[str]:
    """Yield each file that is not the same, to the byte, in both directories."""
    names = {path.relative_to(root) for root in (fresh, kept) for path in root.rglob("*") if path.is_file()}
    for name in names:
        if "__pycache__" in name.parts:
            continue
        in_both = (fresh / name).is_file() and (kept / name).is_file()
        if not (in_both and filecmp.cmp(fresh / name, kept / name, shallow=False)):
            yield str(kept / name)
