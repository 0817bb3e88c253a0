# Stands for a provider's program in a rehearsal: its answers come from the twin's own table.
#
# Values: python (the words that run the stand-in), project (its directory)
home=${0%/bin/*}
# shellcheck disable=SC2086  # quoted words
cd "$project" && eval "exec $python" '"$home"' '"$@"'
