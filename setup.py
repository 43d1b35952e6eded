"""Packaging of keras_align."""

import pathlib
import re

import setuptools

HERE = pathlib.Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (HERE / "keras_align" / "__init__.py").read_text()
).group(1)

# keras-nlp, tensorflow and tensorflow-text are released together, and the layers use
# private names of keras: the bounds are the versions that the tests ran with.
NLP = ["keras-nlp>=0.32,<0.33", "tensorflow-text>=2.21,<2.22", "safetensors>=0.4"]
VIZ = ["matplotlib>=3.8", "scikit-learn>=1.4"]
SERVE = ["fastapi>=0.165,<1", "uvicorn>=0.54,<1", "tensorflow-text>=2.21,<2.22"]
EXAMPLES = [*NLP, *VIZ, "pillow>=10", "scipy>=1.11"]
DOCS = ["sphinx>=9,<10", "furo>=2025.12", "myst-nb>=1.4,<2"]
LINT = ["mypy>=2.4,<2.5", "ruff>=0.17,<0.18"]
# Peers of the divergences.
BENCHMARKS = [
    *NLP,
    "geomloss>=0.3",
    "jax>=0.5",
    "ott-jax>=0.6",
    "POT>=0.9.7",
    "torch>=2.6",
]
TEST = [
    *DOCS,
    *EXAMPLES,
    *LINT,
    *SERVE,
    "httpx>=0.28,<1",
    "hypothesis>=6.100",
    "jax>=0.5",
    "POT>=0.9.5",
    "pytest>=8",
    "pytest-xdist>=3.6",
    "tensorboard>=2.20",
    "torch==2.13.0",
    "torch_geometric>=2.6",
]

setuptools.setup(
    name="keras_align",
    version=VERSION,
    description=(
        "Keras attention whose keys and queries are trained to follow the same "
        "distribution"
    ),
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=setuptools.find_packages(include=["keras_align", "keras_align.*"]),
    package_data={"keras_align": ["py.typed"]},
    python_requires=">=3.11,<3.14",
    install_requires=[
        "keras>=3.15,<3.16",
        "tensorflow>=2.21,<2.22",
        "numpy>=1.26",
        "wrapt>=1.16",
    ],
    extras_require={
        "nlp": NLP,
        "viz": VIZ,
        "serve": SERVE,
        "examples": EXAMPLES,
        "docs": DOCS,
        "benchmarks": BENCHMARKS,
        "lint": LINT,
        "test": TEST,
    },
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
