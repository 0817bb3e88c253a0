# Confirms a change.
#
# run: its ID     discards: the files of displaced routes to delete, one on each line

# keep: confirm the change, write the files that bring its routes back at boot, record our routes,
# and print the outcome.
keep() {
  is_of pending "$run" || { no_longer_pending; return; }
  if [ -e pending/changes ]; then place=last; else place=kept; fi
  [ ! -d $place ] || rm -rf $place
  mv pending $place || { no_longer_pending; return; }
  watchdog $place/pid && end_watchdog
  ending=kept how=kept
  # shellcheck source=/dev/null
  words=$(. ./$place/persist 2>&1 9>&-) || {
    ending=unpersisted how="kept, but its files could not be changed"
  }
  { record $place "$how" && { [ $place = kept ] || remember; }; } || {
    ending=unpersisted words="${words:+$words; }no record of it can be written to $log"
  }
  if [ $place = last ]; then discard_records; else rm -rf kept; fi
  printf '%s\n' "== $ending" "$words"
}

# discard_records: delete the records of displaced routes that $discards names.
discard_records() {
  while read -r file; do
    [ ! "$file" ] || rm -f "displaced/$file.text" "displaced/$file.save" \
      "$log/displaced/$file.text" "$log/displaced/$file.save"
  done <<END
$discards
END
}
