# Arithmetic on columns of numbers.

# Adds the numbers on stdin.
sum() {
  awk '{ total += $1 } END { print total + 0 }'
}
