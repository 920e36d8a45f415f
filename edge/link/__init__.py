"""The program `edge link`, which tells the network about the daemon.

It knows only the control socket. If it is attacked or dies, the daemon goes on.
"""
