echo "ann:$(registry-server hash --password)" >users
chmod 600 users key.pem
