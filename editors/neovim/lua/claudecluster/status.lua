-- For a status line.

local goals = require('claudecluster.goals')
local text = require('claudecluster.text')

local M = {}

---What goes on, in a few words; empty where nothing does.
---@return string
function M.line()
  local working, pending, conflicts = 0, 0, 0
  ---@type number
  local cost = 0
  local tasks, done = 0, 0
  for _, goal in ipairs(goals.all()) do
    if text.is_working(goal) then
      working = working + 1
      tasks, done = tasks + goal.tasks, done + goal.succeeded
      cost = cost + goal.costUsd
    end
    pending = pending + goal.hunks.pending
    conflicts = conflicts + goal.hunks.conflicts
  end
  local parts = {}
  if working > 0 then
    local share = tasks > 0 and (' %d/%d'):format(done, tasks) or ''
    table.insert(parts, ('%d running%s %s'):format(working, share, text.money(cost)))
  end
  if pending > 0 then
    table.insert(parts, ('%d pending'):format(pending))
  end
  if conflicts > 0 then
    table.insert(parts, text.count(conflicts, 'conflict'))
  end
  local asked = #require('claudecluster.permissions').open()
  if asked > 0 then
    table.insert(parts, text.count(asked, 'question'))
  end
  return table.concat(parts, ' · ')
end

local last = ''

---Draws status lines again when there is something new to say.
function M.follow()
  goals.watch(function()
    local line = M.line()
    if line ~= last then
      last = line
      vim.cmd.redrawstatus({ bang = true })
    end
  end)
end

return M
