# Prints a machine's firewall: every table of every backend that is there, except tables for NAT,
# which cannot drop. Needs the function host, which runs a command in the machine's own network.

most=6000000 # bytes of one listing: both families together stay below the limit of an answer

# firewall FAMILY: print what decides about packets. The last line is "complete", unless the listing
# is too long or nft could not list all. The line "unread" stands for tables that no program reads.
firewall() {
  {
    iptables_rules "$1" '/^[*:]/p; / -[jg] /p'
    nft_rules "$1" '/ dnat (ip6? )?to |^comment /d'
  } | head -c "$most"
}

# drops FAMILY: print only the rules that drop packets, with their counters.
drops() {
  {
    iptables_rules "$1" '/^[*:]/p; / -j \(DROP\|REJECT\|NFQUEUE\)/p'
    nft_rules "$1" '/^(table|chain|type|\})|counter.*(drop|reject|queue)/!d'
  } | head -c "$most"
}

# iptables_rules FAMILY SED: print the tables of iptables, and of the backend that iptables does not
# use, if its programs are there. SED: which lines to print.
iptables_rules() {
  [ "$1" = 4 ] && ip=ip || ip=ip6
  case $("${ip}tables" --version 2>/dev/null) in *nf_tables*) used=nft ;; ?*) used=legacy ;; *) used= ;; esac
  [ -z "$used" ] || backend "${ip}tables" "$used" "$2"
  for other in nft legacy; do
    [ "$other" = "$used" ] || backend "${ip}tables-$other" "$other" "$2"
  done
}

# backend PROGRAM nft|legacy SED: print the tables of one backend. To ask the legacy backend for a
# table makes the table, so it is asked only for those that the kernel has.
backend() {
  printf 'program %s %s\n' "$1" "$2"
  for table in raw mangle filter security; do
    [ "$2" = nft ] || host grep -qx "$table" "/proc/net/${ip}_tables_names" 2>/dev/null || continue
    if command -v "$1-save" >/dev/null; then
      host "$1-save" -c -t "$table" 2>/dev/null | sed -n "$3"
    elif [ "$2" = legacy ]; then
      echo "unread"
    fi
  done
}

# nft_rules FAMILY SED: print the tables of nft but those of the other family. Without the program
# nft there are none, unless its kernel module is in use. A set is one long line in some versions: it
# is split, and the timeouts of its elements are left out.
nft_rules() {
  echo "nft"
  [ "$1" = 4 ] && other=ip6 || other=ip
  {
    if ! command -v nft >/dev/null; then
      ! grep -q '^nf_tables ' /proc/modules 2>/dev/null && echo "complete"
    elif host nft list ruleset 2>/dev/null; then
      echo "complete"
    fi
  } | sed -E "/^table ($other|arp) /,/^\}/d
      s/^[[:space:]]+//
      s/ (timeout|expires) [0-9a-z]+//g
      $2
      /(.{250}){4}/s/, /,\n/g"
}
