# main: run one function while this script holds the lock.
#
# does: the name of the function     patience: seconds to wait for the lock
main() { enter -w "$patience" && "$does"; }
