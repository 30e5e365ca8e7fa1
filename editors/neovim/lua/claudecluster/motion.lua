-- From one pending change to the next. Works at once, from what is shown: a motion cannot wait for an answer.

local M = {}

---Moves to a pending change of the buffer, around its end.
---@param direction 1|-1
---@param count? integer
function M.jump(direction, count)
  local lines = require('claudecluster.pending').lines(0)
  if #lines == 0 then
    require('claudecluster.client').notify(
      'no pending changes in this file; see :ClaudeCluster quickfix'
    )
    return
  end
  local here = vim.fn.line('.')
  -- The one before the first step, as if the cursor were on it.
  local at = direction == 1 and 0 or #lines + 1
  for index, line in ipairs(lines) do
    if direction == 1 and line <= here then
      at = index
    elseif direction == -1 and line >= here then
      at = index
      break
    end
  end
  local target = lines[(at + direction * (count or 1) - 1) % #lines + 1]
  vim.cmd("normal! m'")
  vim.api.nvim_win_set_cursor(0, { target, 0 })
  -- Out of a fold.
  if vim.api.nvim_get_mode().mode == 'n' then
    vim.cmd('normal! zv')
  end
end

return M
