-- For scripts that run in the Neovim that they test, against the real daemon: the plugin's own prelude, and
-- the command line beside it.

local this = vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2))
package.path = this .. '/../../../editors/neovim/tests/?.lua;' .. package.path
local prelude = require('prelude')

-- Real sessions on a busy machine take their time.
prelude.patience = 120000

local M = setmetatable({}, { __index = prelude })

---Runs the command line to its end, while this Neovim goes on.
---@param args string[]
---@return vim.SystemCompleted
function M.run(args)
  local ended
  vim.system(vim.list_extend({ 'claudecluster' }, args), { text = true }, function(result)
    ended = result
  end)
  M.eventually(table.concat(args, ' '), function()
    return ended ~= nil
  end)
  return ended
end

---Runs a goal of these tasks to its end.
---@param workspace string
---@param tasks table[]
---@param prompt string
---@return vim.SystemCompleted
function M.goal(workspace, tasks, prompt, ...)
  local plan = vim.fs.dirname(workspace) .. '/plan.json'
  vim.fn.writefile({ vim.json.encode({ goal = prompt, tasks = tasks }) }, plan)
  return M.run({ 'run', '--json', '--plan', plan, ... })
end

---The pending hunks of every file, as the server has them.
---@return table[]
function M.pending()
  local result = require('claudecluster.client').wait('claudecluster/changes', vim.empty_dict())
  local found = {}
  for _, document in ipairs(result and result.documents or {}) do
    vim.list_extend(found, document.hunks)
  end
  return found
end

---What `show --json` says of a goal.
---@param id string
---@return table
function M.show(id)
  local done = M.run({ 'show', id, '--json' })
  M.check(done.code == 0, vim.inspect(done))
  return vim.json.decode(done.stdout)
end

---Closes every window but one.
function M.only()
  vim.cmd.tabonly({ bang = true, mods = { silent = true } })
  vim.cmd.only({ bang = true, mods = { silent = true } })
end

return M
