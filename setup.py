"""Packaging for Convoy; also Apache Beam's --setup_file, which brings it to remote workers."""

from setuptools import find_namespace_packages, setup

# The top-level folders are installed as one package, `convoy`; pipeline/api is its own top, so that
# a user's `models` or `data` never meets ours.
FOLDERS = ("data", "models", "pipeline", "serving")
API = "pipeline.api"


def packages() -> dict[str, str]:
    """{package: folder}: convoy, convoy.data, convoy.data.sources, ..."""
    found = find_namespace_packages(include=[p for top in FOLDERS for p in (top, f"{top}.*")])
    return {"convoy": "pipeline/api"} | {
        f"convoy.{name}": name.replace(".", "/") for name in sorted(found) if name != API
    }


setup(
    name="convoy-vision",
    version="0.1.0",
    description="Convolutional networks from raw pictures to TensorFlow Serving",
    license="Apache-2.0",
    python_requires=">=3.10,<3.13",
    packages=list(packages()),
    package_dir=packages(),
    package_data={
        "convoy.serving": ["deploy/*"],
        "convoy.pipeline": [
            "report/*.html",
            "tools/explain/*.html",
            "look/templates/*",
            "look/static/*",
        ],
    },
    entry_points={"console_scripts": ["convoy=convoy.pipeline.cli:entry"]},
    install_requires=[
        "tensorflow>=2.20,<2.21",
        "keras>=3.15,<3.16",
        "keras-cv>=0.9,<0.10",
        "tensorflow-datasets>=4.9.10,<5",
        "tf-models-official>=2.20,<2.21",
        "apache-beam>=2.77,<3",
        "absl-py>=1.4",
        "google-crc32c>=1.5",
        "tensorflow-serving-api>=2.20,<2.21",
        "tensorflow-metadata>=1.17",
        "dagster>=1.13,<1.14",
        "dagster-webserver>=1.13,<1.14",
        "scikit-learn>=1.5",
        "pycocotools>=2.0.8",
        # With its contributed part: Selective Search and EdgeBoxes. tf-models-official asks for the
        # plain package, whose files lie in the same place: the lock, installed without resolving,
        # leaves it out. Where both were installed, data/proposals.py says what to do.
        "opencv-contrib-python-headless<5",
        "imagehash>=4.3",
        "jinja2>=3.1",
        "pydantic>=2.7",
        "PyYAML>=6",
        "pillow>=10.3",
        "tifffile>=2024.8",  # TIFF of many channels, which Pillow does not read
        "matplotlib>=3.9",
        "numpy>=2.0",
        "scipy>=1.15",
        "h5py>=3.10",
        "grpcio>=1.70",
        "grpcio-health-checking>=1.70",
        "importlib_resources>=5",  # tensorflow-datasets imports it undeclared
        "requests>=2.31",
        "urllib3>=2",
        "tqdm>=4.66",
        "starlette>=0.40",
        "uvicorn>=0.30",
        "setuptools>=68",
    ],
    extras_require={
        "dask": ["dask>=2026.1", "distributed>=2026.1"],
        # Files for other runtimes, `convoy export RUN --to onnx,litert,openvino`; openvino is also
        # an engine of `convoy serve`.
        "onnx": ["onnx>=1.23", "onnxruntime>=1.32", "tf2onnx>=1.17"],
        "litert": ["ai-edge-litert>=2.3"],
        "openvino": ["openvino>=2026.4"],
        "tune": ["optuna>=4"],
        "dev": [
            "optuna>=4",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "ruff>=0.6",
            "mkdocs>=1.6",
            "nbformat>=5",
        ],
    },
)
