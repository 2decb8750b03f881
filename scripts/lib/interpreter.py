"""Finding a python3 that has the modules a script needs."""

import importlib
import os
import subprocess
import sys


MATPLOTLIB_ADVICE = """\
Debian has it:
    apt-get install python3-matplotlib"""


def has_modules(python, modules):
    done = subprocess.run([python, "-c", f"import {', '.join(modules)}"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return done.returncode == 0


def need_modules(script, modules, advice):
    """Goes on with another python3 of PATH where this one lacks a module.

    `modules` maps the names to import to what they are called in messages.
    Where no python3 has them all it ends with status 3 and `advice`.
    """
    searched = f"{script.upper()}_SEARCHED"  # set for the python3 found
    missing = []
    for module, name in modules.items():
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(name)
    if not missing:
        return
    folders = os.environ.get("PATH", "").split(os.pathsep)
    for python in (os.path.join(folder, "python3") for folder in folders):
        if searched in os.environ:
            break
        if os.access(python, os.X_OK) and has_modules(python, modules):
            print(f"{script}: {sys.executable} has no "
                  f"{' and no '.join(missing)}; going on with {python}",
                  file=sys.stderr)
            os.environ[searched] = "yes"
            os.execv(python, [python, *sys.argv])
    print(f"{script}: error: no python3 on PATH has "
          f"{' and '.join(modules.values())}. {advice}", file=sys.stderr)
    sys.exit(3)
