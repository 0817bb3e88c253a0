# What this machine remembers of its runs.
#
# log: our directory on disk
main() { tail -n 500 "$log/history" 2>/dev/null; }
