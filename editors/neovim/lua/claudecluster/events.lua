-- Follows the goals, for messages and for completion.

local client = require('claudecluster.client')

local M = {}

---The goals seen in this session, newest last.
---@type string[]
local goals = {}

---@param goal string
function M.remember(goal)
  if not vim.list_contains(goals, goal) then
    table.insert(goals, goal)
  end
end

---@return string[]
function M.goals()
  return vim.deepcopy(goals)
end

---The goal a command without a goal means: the newest.
---@return string?
function M.newest()
  return goals[#goals]
end

---@param item table an event or an activity of the server
function M.on_event(item)
  if not item.type then
    return -- What a worker is doing right now; progress shows it.
  end
  local goal = item.goalId
  M.remember(goal)
  if item.type == 'planned' then
    local n = #item.plan.tasks
    client.notify(('%s is planned: %d task%s'):format(goal, n, n == 1 and '' or 's'))
  elseif item.type == 'proposed' and #item.files > 0 then
    local n = #item.files
    client.notify(
      ('%s proposes changes to %d file%s; decide with code actions or '):format(
        goal,
        n,
        n == 1 and '' or 's'
      ) .. (':ClaudeCluster accept %s'):format(goal)
    )
  elseif item.type == 'goalChanged' then
    if item.state == 'failed' then
      local why = item.error and item.error.message or 'no reason was given'
      local hint = item.error and item.error.hint and (': ' .. item.error.hint) or ''
      client.notify(('%s failed: %s%s'):format(goal, why, hint), vim.log.levels.ERROR)
    elseif item.state == 'awaitingApproval' then
      client.notify(
        ('the plan of %s waits; :ClaudeCluster show %s, then :ClaudeCluster approve %s'):format(
          goal,
          goal,
          goal
        )
      )
    end
  end
  vim.api.nvim_exec_autocmds('User', {
    pattern = 'ClaudeClusterEvent',
    modeline = false,
    data = item,
  })
end

return M
