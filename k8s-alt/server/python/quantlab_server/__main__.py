"""Run `quantlab` as a module, the way the supervisor starts its children."""

from quantlab_server.cli.entry import main

main()
