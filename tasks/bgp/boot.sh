# Has BIRD come back at boot, or no longer, when a change is confirmed. Needs persist.sh.
#
# bird_run: what it runs with now     bird_boot: the directory of the copies
# bird_unit: the name of its unit     bird_text: its text; empty: it does not come back
# bird_keeps: "yes" if `rollback --last` may need the files from before
# place, of keep.sh: the directory of the change

wanted=/etc/systemd/system/multi-user.target.wants/$bird_unit
if [ "$bird_text" ] && [ -e "$bird_run/bird.conf" ]; then
  for file in bird.conf bgp-password.conf; do
    [ ! -e "$bird_run/$file" ] || put "$bird_boot/$file" 600 "" <"$bird_run/$file" || exit
  done
  printf '%s\n' "$bird_text" | put "/etc/systemd/system/$bird_unit" 644 "" || exit
  put "$wanted" "" "/etc/systemd/system/$bird_unit" </dev/null || exit
else
  for file in "$wanted" "/etc/systemd/system/$bird_unit" "$bird_boot/bird.conf" \
    "$bird_boot/bgp-password.conf"; do
    take "$file" || exit
  done
  [ ! -d "$bird_boot" ] || rmdir "$bird_boot" 2>/dev/null || :
fi
[ "$bird_keeps" ] || rm -rf "${place:?}/bird" || exit
[ ! -d /run/systemd/system ] || systemctl daemon-reload || exit
