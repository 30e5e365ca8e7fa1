#!/bin/sh
# Prints the sales in a file of `name,amount` lines, and their total.
here=$(dirname "$0")
. "$here/lib/sum.sh"
. "$here/lib/table.sh"

while IFS=, read -r name amount; do
  row "$name" "$amount"
done < "$1"
row total "$(cut -d, -f2 "$1" | sum)"
