# Removes one file: path.
take "$path" || exit
