-- :Telescope claudecluster goals|changes

local pickers = require('claudecluster.pickers')

return require('telescope').register_extension({
  exports = { goals = pickers.goals, changes = pickers.changes, claudecluster = pickers.changes },
})
