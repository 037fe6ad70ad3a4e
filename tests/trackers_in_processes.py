"""Trackers that other processes are given: they import this file by its name, as they cannot import a test."""

import os
import socket
import time

from onebit.tracking.baselines import FirstBox


class Deadly(FirstBox):
    """Ends its process, as a crash in a library does."""

    def update(self, image):
        os._exit(3)


class Waiting(FirstBox):
    """Tells a port that it runs, and stays in its first frame; its connection ends with its process."""

    def __init__(self, port):
        self._port = port

    def update(self, image):
        with socket.create_connection(("127.0.0.1", self._port)):
            time.sleep(120)
            os._exit(3)
