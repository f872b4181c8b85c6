"""How a link's datagrams travel: sockets, addresses, liveness and migration."""
