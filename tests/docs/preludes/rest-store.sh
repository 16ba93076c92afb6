registry-server
