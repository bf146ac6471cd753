"""`popa3d_inetd.py PORT PROGRAM`: for each connection to the port a program whose input and output it is."""

import socket
import subprocess
import sys
import threading


def main() -> None:
    """Serves until it is killed."""
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=100)
    while True:
        client, _ = listener.accept()
        with client:
            ends = client.fileno()
            process = subprocess.Popen(sys.argv[2:], stdin=ends, stdout=ends, stderr=subprocess.DEVNULL)
        threading.Thread(target=process.wait, daemon=True).start()


if __name__ == "__main__":
    main()
