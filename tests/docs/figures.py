# SPDX-License-Identifier: Apache-2.0
"""The figures in the pages are those of bench/results/."""
import pathlib
import subprocess
import sys

report = pathlib.Path(__file__).resolve().parents[2] / "bench" / "report.py"
sys.exit(subprocess.run([sys.executable, str(report), "--check"], check=False).returncode)
