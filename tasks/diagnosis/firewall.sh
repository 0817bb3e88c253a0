# Given by who sends it: the function host, which runs a command in the machine's own network.

# firewall FAMILY: the rules that drop packets, and the chains that lead to them. The names of
# chains, and what a chain does not drop or jump to, stay on the machine. nft prints a map that
# leads to many chains on one line: it is cut between them where it is long.
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
