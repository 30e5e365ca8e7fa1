-- :Telescope claudecluster goals|changes

local pickers = require('claudecluster.pickers')

---@diagnostic disable-next-line: unresolved-require -- it is what loads this
return require('telescope').register_extension({
  exports = { goals = pickers.goals, changes = pickers.changes, claudecluster = pickers.changes },
})
