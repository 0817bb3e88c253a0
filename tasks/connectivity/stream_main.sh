# main: start a probe in a namespace, print that it is ready, wait for a line on descriptor 3, and
# ping. If there can be no namespace, end.
#
# Values: shared (probe.sh and the files and values that it needs)
main() { outer=$$ unshare --net sh -c "$shared
wired" <&3 2>/dev/null; }
