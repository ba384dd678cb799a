"""`pmcp` and `python -m pmcp_local`: refuses an old Python in one sentence, then hands over to `cli`."""

import sys


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - a checkout can be started by any Python
        sys.stderr.write("Persona MCP needs Python 3.11 or newer; this is %s.%s.\n" % sys.version_info[:2])  # noqa: UP031
        return 1
    try:
        from pmcp_local.cli import run

        return run()
    except KeyboardInterrupt:  # also during the imports
        return 130
    except ModuleNotFoundError as missing:
        sys.stderr.write(
            f"The Python package {missing.name} is missing; install the dependencies with"
            " `make demo` or `pip install --require-hashes -r requirements/local.txt`.\n"
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
