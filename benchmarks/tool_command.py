"""A command of tunesmith, run as a user runs it."""

import subprocess
import sys


def tunesmith(*words: object) -> str:
    """-> what it printed. Its progress goes to the terminal; CalledProcessError when it fails."""
    command = [sys.executable, "-m", "tunesmith", *map(str, words)]
    print("tunesmith", *map(str, words), flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, end="", flush=True)
    return done.stdout
