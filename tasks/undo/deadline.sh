# read_deadline PLACE: set $deadline, in seconds of uptime. A push adds a line; the last one counts.
read_deadline() { while read -r line; do deadline=$line; done <"$1/deadline"; }
