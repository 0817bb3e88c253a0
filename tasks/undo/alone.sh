# main: run one function with the lock held.
#
# does: the function     patience: seconds to wait for the lock
main() { enter -w "$patience" && "$does"; }
