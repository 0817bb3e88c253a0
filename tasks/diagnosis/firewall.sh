# Prints a firewall's rules that drop packets. Needs the function host, which runs a command in the
# machine's own network.

# firewall FAMILY: print the rules that drop packets, the chains, and the jumps between them; leave
# out all other rules. nft prints a map that leads to many chains on one line: a long one is split.
firewall() {
  save=iptables-save
  [ "$1" = 4 ] || save=ip6tables-save
  for table in raw mangle filter; do
    host "$save" -c -t "$table" 2>/dev/null |
      sed -n '/^[*:]/p; / -[jg] /{/ -j ACCEPT$/d; p;}'
  done
  echo "nft"
  host nft list ruleset 2>/dev/null |
    sed -nE '/^(table|\})|^[[:space:]]*(chain|\})|hook|drop|reject|jump|goto/{
      /vmap(.{200}){5}/s/, /\n/g
      p
    }'
}
