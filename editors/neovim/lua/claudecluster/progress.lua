-- Work that is under way, as |LspProgress| tells of it.

local client = require('claudecluster.client')

local M = {}

---@class claudecluster.Progress
---@field client integer
---@field token string
---@field title string
---@field message? string
---@field percentage? integer

---@type table<string, claudecluster.Progress> by goal
local active = {}

---@param token string|integer
---@return string? goal
local function goal_of(token)
  return type(token) == 'string' and token:match('^claudecluster/([^/]+)/') or nil
end

---@class claudecluster.ProgressValue
---@field kind string
---@field title? string
---@field message? string
---@field percentage? integer

---@param id integer the client
---@param params lsp.ProgressParams
function M.on_progress(id, params)
  local goal = goal_of(params.token)
  local value = params.value --[[@as claudecluster.ProgressValue]]
  if not goal or type(value) ~= 'table' then
    return
  end
  if value.kind == 'end' then
    active[goal] = nil
  else
    local known = active[goal] or { title = value.title }
    active[goal] = {
      client = id,
      token = params.token --[[@as string]],
      title = value.title or known.title,
      message = value.message,
      percentage = value.percentage,
    }
  end
end

---What is under way, by goal.
---@return table<string, claudecluster.Progress>
function M.active()
  return active
end

---Forgets what a client that has gone had under way.
---@param id integer
function M.forget(id)
  for goal, progress in pairs(active) do
    if progress.client == id then
      active[goal] = nil
    end
  end
end

---Cancels work the way the protocol has for it, or by the goal's name where none is under way.
---@param goal string
function M.cancel(goal)
  local progress = active[goal]
  local server = progress and vim.lsp.get_client_by_id(progress.client)
  if progress and server then
    client.tell(server, 'window/workDoneProgress/cancel', { token = progress.token })
  else
    client.command('claudecluster.goal.cancel', { goalId = goal })
  end
end

---Cancels what is under way; where that is more than one goal, the user chooses.
function M.cancel_one()
  local goals = vim.tbl_keys(active)
  table.sort(goals)
  if #goals == 0 then
    client.notify('no goal is running')
  elseif #goals == 1 then
    M.cancel(goals[1])
  else
    vim.ui.select(goals, {
      prompt = 'Cancel goal:',
      format_item = function(goal)
        return active[goal].title
      end,
    }, function(goal)
      if goal then
        M.cancel(goal)
      end
    end)
  end
end

return M
