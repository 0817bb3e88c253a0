# Prints the history of runs on this machine.
#
# log: our directory on disk

# main: print the last 500 lines.
main() { tail -n 500 "$log/history" 2>/dev/null; }
