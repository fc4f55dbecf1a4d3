import subprocess
import sys


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_personal_data_are_replaced_without_torch():
    code = """
import sys
from curation.pii import replace
replace("a@mill.com", ["EMAIL_ADDRESS"])
print("torch" in sys.modules)
import torch
print(torch.ones(2).sum().item())
"""
    assert run(code) == ["False", "2.0"]


def test_a_loaded_torch_stays():
    code = """
import torch
from curation.imports import without_torch
with without_torch():
    import torch as again
print(again is torch)
"""
    assert run(code) == ["True"]


def test_names_of_kinds_do_not_load_presidio():
    code = "import sys, curation.pii; print('presidio_analyzer' in sys.modules)"
    assert run(code) == ["False"]
