-- Plans, as documents.

local client = require('claudecluster.client')

local M = {}

---Opens the plan of a goal. A server that can asks Neovim to show it; opening it twice is opening it once.
---@param goal string
function M.open(goal)
  client.command('claudecluster.plan.open', { goalId = goal }, function(result)
    local path = vim.uri_to_fname(result.uri)
    if vim.api.nvim_buf_get_name(0) ~= path then
      vim.cmd.split(vim.fn.fnameescape(path))
    end
  end)
end

---Lets a plan run. Where it is open, what the buffer says is approved.
---@param goal string
---@param task? string a task before which the plan pauses
function M.approve(goal, task)
  local uri
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    local name = vim.api.nvim_buf_get_name(buffer)
    if vim.api.nvim_buf_is_loaded(buffer) and vim.fs.basename(name) == goal .. '.plan.json' then
      uri = vim.uri_from_bufnr(buffer)
    end
  end
  if task then
    uri = nil
  end
  client.command('claudecluster.plan.approve', { goalId = goal, taskId = task, uri = uri })
end

return M
