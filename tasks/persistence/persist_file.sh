# One file, or with a target a symbolic link: path, mode, target, text.
printf '%s' "$text" 2>/dev/null | put "$path" "$mode" "$target" || exit
