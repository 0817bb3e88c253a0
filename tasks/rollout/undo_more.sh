# What an undo takes back besides routes: nothing. bgp/stages_undo.sh redefines these functions.

# leave_needed: leave what other machines need that may have confirmed.
leave_needed() { :; }

# back_before_routes: take back what has to be as before when routes are taken back.
back_before_routes() { :; }

# is_as_before: whether that is as before.
is_as_before() { :; }
