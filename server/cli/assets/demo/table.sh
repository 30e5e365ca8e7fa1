# Text in columns.

# Prints a name and a number in columns.
row() {
  printf '%-10s %6s\n' "$1" "$2"
}
