# The routes that were displaced, as the files say: stay, "yes" where routes outlive a reboot.
if [ "$stay" ]; then keep_displaced; else [ ! -d "$log/displaced" ] || rm -rf "$log/displaced"; fi
