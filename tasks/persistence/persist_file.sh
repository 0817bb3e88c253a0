# Writes one file, or a symbolic link if there is a target: path, mode (octal), target, text.
printf '%s' "$text" 2>/dev/null | put "$path" "$mode" "$target" || exit
