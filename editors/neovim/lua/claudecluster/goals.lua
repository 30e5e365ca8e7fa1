-- The goals of the workspaces that are open, kept up by the server's events.

local client = require('claudecluster.client')

local M = {}

-- Details of so many goals are asked for at once; of older ones when something happens to them.
local DETAILS = 30

---@type table<string, claudecluster.Goal>
local goals = {}
---What the workers of a goal are doing, by task.
---@type table<string, table<string, string>>
local doing = {}
---@type table<string, claudecluster.Hunk[]> by document
local changes = {}
---@type (fun())[]
local watchers = {}
---Goals that are asked for now; `true` for those that have changed meanwhile.
---@type table<string, boolean>
local asking = {}
---@type 'asking'|'again'|nil
local asking_changes
local telling = false

---Tells those who show goals, once for all that happens in one turn.
local function changed()
  if telling then
    return
  end
  telling = true
  vim.schedule(function()
    telling = false
    for _, watcher in ipairs(watchers) do
      watcher()
    end
  end)
end

---@param watcher fun() called when a goal has changed
function M.watch(watcher)
  table.insert(watchers, watcher)
end

---@param id string
---@return integer
local function number(id)
  return tonumber(id:match('%d+')) --[[@as integer?]] or 0
end

---The goals, newest first.
---@return claudecluster.Goal[]
function M.all()
  local all = vim.tbl_values(goals)
  table.sort(all, function(a, b)
    return number(a.id) > number(b.id)
  end)
  return all
end

---@param id string
---@return claudecluster.Goal?
function M.get(id)
  return goals[id]
end

---What is pending, by document.
---@return table<string, claudecluster.Hunk[]>
function M.changes()
  return changes
end

---What a worker is doing right now.
---@param goal string
---@param task string
---@return string?
function M.doing(goal, task)
  return doing[goal] and doing[goal][task]
end

---@param id string
local function ask(id)
  if asking[id] ~= nil then
    asking[id] = true
    return
  end
  local server = client.find()
  if not server then
    return
  end
  asking[id] = false
  local params = client.call('claudecluster.goal.show', { goalId = id })
  client.send(server, 'workspace/executeCommand', params, function(err, view)
    local again = asking[id]
    asking[id] = nil
    -- One that is gone, or of another workspace, stays as it was.
    if not err and view then
      goals[id] = view
      changed()
    end
    if again then
      ask(id)
    end
  end)
end

---Asks for what is pending, of every server there is.
local function ask_changes()
  if asking_changes then
    asking_changes = 'again'
    return
  end
  local servers = client.all()
  local left, found = #servers, {}
  if left == 0 then
    return
  end
  asking_changes = 'asking'
  for _, server in ipairs(servers) do
    client.send(server, 'claudecluster/changes', vim.empty_dict(), function(_, result)
      for _, document in ipairs(result and result.documents or {}) do
        found[document.uri] = document.hunks
      end
      left = left - 1
      if left > 0 then
        return
      end
      local again = asking_changes == 'again'
      asking_changes = nil
      changes = found
      changed()
      if again then
        ask_changes()
      end
    end)
  end
end

---Asks for everything, for somebody who begins to look.
---@param details boolean whether tasks and hunks are wanted, too
function M.load(details)
  for _, server in ipairs(client.all()) do
    local params = client.call('claudecluster.goal.list', {})
    client.send(server, 'workspace/executeCommand', params, function(err, list)
      for index, goal in ipairs(not err and list or {}) do
        if not (goals[goal.id] and goals[goal.id].tasksDetail) then
          goals[goal.id] = goal
        end
        if details and index > #list - DETAILS then
          ask(goal.id)
        end
      end
      changed()
    end)
  end
  if details then
    ask_changes()
  end
end

---A server has gone, and with it its answers.
function M.forget_questions()
  asking, asking_changes = {}, nil
end

local moves_hunks = { proposed = true, reviewed = true, amended = true, goalChanged = true }

---@param event table an event of the journal
function M.on_event(event)
  ask(event.goalId)
  if moves_hunks[event.type] then
    ask_changes()
  end
  if event.type == 'attemptEnded' and doing[event.goalId] then
    doing[event.goalId][event.taskId] = nil
  end
end

---@param activity table what a worker is doing
function M.on_activity(activity)
  if activity.kind ~= 'tool' or not activity.taskId then
    return
  end
  doing[activity.goalId] = doing[activity.goalId] or {}
  local what = ('%s %s'):format(activity.name, (activity.detail:gsub('%s+', ' ')))
  doing[activity.goalId][activity.taskId] = what
  changed()
end

---Hunks that have moved with their text.
---@param told claudecluster.Document
function M.on_pending(told)
  changes[told.uri] = #told.hunks > 0 and told.hunks or nil
  changed()
end

---The goal a command without a goal means: the newest.
---@return string?
function M.newest()
  local all = M.all()
  return all[1] and all[1].id
end

---A goal that has just been stated: known at once, before the first event.
---@param id string
function M.remember(id)
  if not goals[id] then
    ask(id)
  end
end

return M
