# firewall FAMILY: where packets may be dropped, by iptables-save(8) with counters and by nft(8). The
# names of chains, and what a chain does not drop or jump to, stay over there.
firewall() {
  save=iptables-save
  [ "$1" = 4 ] || save=ip6tables-save
  for table in raw mangle filter; do
    host $save -c -t $table 2>/dev/null | sed -n '/^[*:]/p; / -[jg] /{/ -j ACCEPT$/d; p;}'
  done
  echo "nft"
  host nft list ruleset 2>/dev/null |
    grep -E '^(table|})|^[[:space:]]*(chain|})|hook|drop|reject|jump|goto'
}
