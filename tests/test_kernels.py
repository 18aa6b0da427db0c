"""Every kernel text of the package compiles for a GPU, and keeps to what CuPy's compiler knows."""

import importlib
import pkgutil
import shutil
import subprocess

import pytest
from stand_in import kernels

import minicaffe
from minicaffe import backend

for _module in pkgutil.walk_packages(minicaffe.__path__, "minicaffe."):
    importlib.import_module(_module.name)
TEXTS = sorted(backend.kernel_texts.items())


def test_texts_are_there():
    assert len(TEXTS) > 40


def test_all_texts_compile(tmp_path):
    """One file, a name space a text and type; CUDA 13 knows no GPU older than sm_75."""
    if shutil.which("nvcc") is None:
        pytest.skip("no nvcc")
    parts = [f'#line 1 "{name} for {dtype}"\nnamespace n{i}_{dtype} {{\n#undef Real\n'
             + text.source(dtype).replace('extern "C"', "") + "\n}\n"
             for i, (name, text) in enumerate(TEXTS) for dtype in "fd"]
    (tmp_path / "all.cu").write_text("".join(parts))
    result = subprocess.run(["nvcc", "-std=c++17", "-arch=sm_75", "-ptx", "-w", "-o",
                             tmp_path / "all.ptx", tmp_path / "all.cu"],
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    functions = sum(len(kernels.signatures(text.source("f"))) for _, text in TEXTS)
    assert (tmp_path / "all.ptx").read_text().count(".entry") == 2 * functions


@pytest.mark.parametrize("name, text", TEXTS)
class TestText:
    def test_nothing_that_only_nvcc_knows(self, name, text):
        kernels.check_words(text.source("f"))

    def test_parameters_are_what_python_passes(self, name, text):
        found = kernels.signatures(text.source("f"))
        assert len(found) == text.text.count("__global__") > 0
        assert text.text.count('extern "C"') == len(found)
        for parameters in found.values():
            for parameter in parameters.split(","):
                kernels.Parameter(parameter, "float")
