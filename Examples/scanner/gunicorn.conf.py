# How `run` starts gunicorn; the number of workers and the socket to listen on are given there.

# gthread rather than the default sync workers: sync workers close the connection after each response, and then a
# client, or a proxy, pays for a new connection on every request. Threads with keep-alive are what one has in production.
worker_class = "gthread"
threads = 4

# Longer than a proxy keeps its idle connections, so that the proxy closes first and never sends into a closing one.
keepalive = 75

# A page takes tens of milliseconds: whoever is not done after this has hung.
graceful_timeout = 5

# Workers touch a temporary file to show that they live; in memory, a slow disk cannot make them look dead.
worker_tmp_dir = "/dev/shm"

errorlog = "-"
loglevel = "info"
