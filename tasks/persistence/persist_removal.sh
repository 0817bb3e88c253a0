# One file that goes: path.
take "$path" || exit
