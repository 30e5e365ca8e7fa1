-- Takes the server's events, and tells the user what wants a decision.

local client = require('claudecluster.client')
local goals = require('claudecluster.goals')
local text = require('claudecluster.text')

local M = {}

---@param goal string
---@param event table
local function state_changed(goal, event)
  if event.state == 'failed' then
    local why = event.error and event.error.message or 'no reason given'
    local hint = event.error and event.error.hint and (': ' .. event.error.hint) or ''
    client.fail(('%s failed: %s%s'):format(goal, why, hint))
  elseif event.state == 'awaitingApproval' then
    client.notify(
      ('the plan of %s is waiting for approval; review it with :ClaudeCluster plan %s, approve it with :ClaudeCluster approve %s'):format(
        goal,
        goal,
        goal
      )
    )
  end
end

---@param goal string
---@param event table
local function tell(goal, event)
  if event.type == 'planned' then
    client.notify(('planned %s: %s'):format(goal, text.count(#event.plan.tasks, 'task')))
  elseif event.type == 'proposed' and #event.files > 0 then
    local files = text.count(#event.files, 'file')
    local decide = 'review them with code actions or :ClaudeCluster accept'
    client.notify(('%s proposes changes to %s; %s %s'):format(goal, files, decide, goal))
  elseif event.type == 'taskChanged' and event.state == 'paused' then
    local run = 'approve it with :ClaudeCluster approve %s %s'
    client.notify(
      ('%s: task %s is waiting for approval; '):format(goal, event.taskId)
        .. run:format(goal, event.taskId)
    )
  elseif event.type == 'goalChanged' then
    state_changed(goal, event)
  end
end

---@param item table an event or an activity of the server
function M.on_event(item)
  if not item.type then
    goals.on_activity(item)
    return
  end
  goals.on_event(item)
  if not require('claudecluster.permissions').on_event(item) then
    tell(item.goalId, item)
  end
  vim.api.nvim_exec_autocmds('User', {
    pattern = 'ClaudeClusterEvent',
    modeline = false,
    data = item,
  })
end

return M
