# read_deadline PLACE: set $deadline, in seconds of uptime, from the change in a directory. A push
# adds a line to the file, and the last line counts.
read_deadline() { while read -r line; do deadline=$line; done <"$1/deadline"; }
