"""The world behind the ports, one family a folder; built only by quantlab_edge.compose."""
