# What every script of a probe has; the file that pings may define some of it anew.

set -f

# await: wait for a line.
await() { read -r _; }

# host COMMAND...: run it in the machine's own network.
host() { "$@"; }

# settings: what is to be said of the machine itself, before there is a probe.
settings() { :; }

# prepare: what is to be done in a probe's network before the others begin.
prepare() { :; }
