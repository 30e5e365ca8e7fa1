-- Completion of :ClaudeCluster: what is there to be named at this place.

local client = require('claudecluster.client')
local command = require('claudecluster.command')
local goals = require('claudecluster.goals')
local text = require('claudecluster.text')

local M = {}

---@param word string
---@return string # as it is written in a command
local function escaped(word)
  return (word:gsub('[\\ ]', '\\%0'))
end

---Everything that is pending, as the server has it now.
---@return claudecluster.Hunk[]
local function pending()
  local found = {}
  local result = client.wait('claudecluster/changes', vim.empty_dict())
  for _, document in ipairs(result and result.documents or {}) do
    vim.list_extend(found, document.hunks)
  end
  return found
end

---The goals, as the server has them now: the newest may be one of which no event has come yet.
---@return string[]
local function goal_ids()
  local ids = {}
  for _, goal in ipairs(goals.all()) do
    ids[goal.id] = true
  end
  local list = client.wait('workspace/executeCommand', client.call('claudecluster.goal.list', {}))
  for _, goal in ipairs(list or {}) do
    ids[goal.id] = true
  end
  return vim.tbl_keys(ids)
end

---@param goal string
---@return string[]
local function task_ids(goal)
  local view = client.wait(
    'workspace/executeCommand',
    client.call('claudecluster.goal.show', { goalId = goal })
  )
  return vim.tbl_map(function(task)
    return task.id
  end, view and view.tasksDetail or {})
end

---Files in which something of a goal is pending.
---@param goal string
---@return string[]
local function files(goal)
  local found = {}
  for _, hunk in ipairs(pending()) do
    if text.goal(hunk) == goal then
      found[escaped(hunk.path)] = true
    end
  end
  return vim.tbl_keys(found)
end

---@param conflicts? boolean only those
---@return string[]
local function hunk_ids(conflicts)
  local found = {}
  for _, hunk in ipairs(pending()) do
    if not conflicts or hunk.status == 'conflict' then
      table.insert(found, hunk.id)
    end
  end
  return found
end

---@param words string[] what stands before
---@return string[]
local function to_decide(words)
  if #words == 1 then
    return vim.list_extend(goal_ids(), hunk_ids())
  elseif #words == 2 then
    return vim.list_extend(files(words[2]), task_ids(words[2]))
  end
  return {}
end

---@param words string[]
---@return string[]
local function a_goal(words)
  return #words == 1 and goal_ids() or {}
end

---@param words string[]
---@return string[]
local function a_goal_and_task(words)
  return #words == 1 and goal_ids() or #words == 2 and task_ids(words[2]) or {}
end

---@type table<string, fun(words: string[]): string[]>
local arguments = {
  accept = to_decide,
  reject = to_decide,
  ['reject!'] = to_decide,
  undo = a_goal_and_task,
  redo = a_goal_and_task,
  approve = a_goal_and_task,
  cancel = a_goal,
  retry = a_goal_and_task,
  show = a_goal,
  plan = a_goal,
  log = a_goal_and_task,
  quickfix = a_goal,
  loclist = a_goal,
  changes = a_goal,
  resolve = function(words)
    if #words == 1 then
      return vim.list_extend(hunk_ids(true), command.resolutions)
    end
    return #words == 2 and words[2]:match('%.') and command.resolutions or {}
  end,
  diff = function(words)
    return #words == 1 and vim.list_extend({ 'float' }, require('claudecluster.compare').names())
      or {}
  end,
  pick = function(words)
    return #words == 1 and { 'changes', 'goals' } or {}
  end,
  permissions = function(words)
    if #words == 1 then
      return vim.tbl_map(function(request)
        return request.id
      end, require('claudecluster.permissions').open())
    end
    local scopes = { 'once', 'task', 'goal', 'always' }
    return #words == 2 and { 'allow', 'deny' } or #words == 3 and scopes or {}
  end,
}

---@param lead string
---@param line string
---@param position integer
---@return string[]
function M.complete(lead, line, position)
  local before = line:sub(1, position - #lead):match('ClaudeCluster(.*)$') or ''
  local words = vim.split(before, '%s+', { trimempty = true })
  local choices
  if #words == 0 then
    choices = command.names()
  else
    local argument = arguments[words[1]]
    choices = argument and argument(words) or {}
    table.sort(choices)
  end
  return vim.tbl_filter(function(choice)
    return vim.startswith(choice, lead)
  end, choices)
end

return M
