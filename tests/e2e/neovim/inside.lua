-- For scripts that run in the Neovim that they test: what is there, and what was said.

local M = {}

-- Real sessions on a busy machine take their time.
local PATIENCE = 120000

---@type string[]
M.messages = {}
vim.notify = function(message)
  table.insert(M.messages, message)
end

---The current buffer's text.
---@return string
function M.text()
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
end

---@param condition any
---@param message string
function M.check(condition, message)
  if condition then
    return
  end
  local found = { message, 'messages: ' .. vim.inspect(M.messages) }
  for _, window in ipairs(vim.api.nvim_list_wins()) do
    local buffer = vim.api.nvim_win_get_buf(window)
    table.insert(found, '--- ' .. vim.api.nvim_buf_get_name(buffer))
    vim.list_extend(found, vim.api.nvim_buf_get_lines(buffer, 0, -1, false))
  end
  error(table.concat(found, '\n'), 2)
end

---@param what string
---@param condition fun(): any
function M.eventually(what, condition)
  M.check(vim.wait(PATIENCE, condition, 10), 'never happened: ' .. what)
end

---@param expected any
---@param found any
---@param what string
function M.equal(expected, found, what)
  local message = '%s: expected %s, found %s'
  M.check(
    vim.deep_equal(expected, found),
    message:format(what, vim.inspect(expected), vim.inspect(found))
  )
end

---Whether a message with this part was shown.
---@param part string
---@return boolean
function M.told(part)
  return vim.iter(M.messages):any(function(message)
    return message:find(part, 1, true) ~= nil
  end)
end

---Opens a file and waits until the server has it.
---@param path string
function M.open(path)
  vim.cmd.edit(vim.fn.fnameescape(path))
  M.eventually('the server is attached', function()
    local client = vim.lsp.get_clients({ bufnr = 0, name = 'claudecluster' })[1]
    return client ~= nil and client.initialized
  end)
end

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

---The text of the window that floats.
---@return string?
function M.float()
  for _, window in ipairs(vim.api.nvim_list_wins()) do
    if vim.api.nvim_win_get_config(window).relative ~= '' then
      local lines = vim.api.nvim_buf_get_lines(vim.api.nvim_win_get_buf(window), 0, -1, false)
      return table.concat(lines, '\n')
    end
  end
end

---Presses keys as a user does, mappings included.
---@param keys string
function M.press(keys)
  vim.api.nvim_feedkeys(vim.keycode(keys), 'xt', false)
end

return M
