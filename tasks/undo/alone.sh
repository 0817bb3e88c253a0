# main: do one thing as the only one who is at work here.
#
# does: the function that does it     patience: seconds to wait for the lock
main() { enter -w "$patience" && "$does"; }
