# Keeps the records of displaced routes on disk if stay is "yes" (routes survive a reboot), else
# removes them.
if [ "$stay" ]; then keep_displaced; else [ ! -d "$log/displaced" ] || rm -rf "$log/displaced"; fi
