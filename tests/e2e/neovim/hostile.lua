-- The user of tests/it/display.rs: looks at everything that the plugin shows of a hostile goal. Argument: the
-- workspace, with `base.txt`. Fails by exiting with an error.

package.path = vim.fs.dirname(arg[0]) .. '/?.lua;' .. package.path
local user = require('inside')
local check, eventually = user.check, user.eventually

local workspace = arg[1]
local said = {}
vim.notify = function(message)
  table.insert(said, message)
end

---What an editor obeys or hides: controls of both kinds, directions, invisible marks. Neovim itself shows most of them
---as `^[`, `<9b>` or `<202e>`.
local HIDDEN = {
  '[%z\1-\8\11-\31\127]',
  '\194[\128-\159]',
  '\226\128[\139-\143\168-\174]',
  '\226\129[\160-\175]',
  '\239\187\191',
  '\243\160',
}

---@param what string
---@param text string
local function is_text(what, text)
  for _, pattern in ipairs(HIDDEN) do
    local found = vim.fn.strtrans(text):find(pattern)
    check(
      not found,
      what .. ' shows ' .. vim.inspect(text:sub(math.max(1, (found or 1) - 40), (found or 0) + 8))
    )
  end
end

---@param what string
---@param buffer integer
local function buffer_is_text(what, buffer)
  for _, line in ipairs(vim.api.nvim_buf_get_lines(buffer, 0, -1, false)) do
    is_text(what, line)
  end
  is_text(what .. ' (name)', vim.api.nvim_buf_get_name(buffer))
  for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(buffer, -1, 0, -1, { details = true })) do
    for _, chunk in ipairs(mark[4].virt_text or {}) do
      is_text(what .. ' (beside)', chunk[1])
    end
    for _, line in ipairs(mark[4].virt_lines or {}) do
      for _, chunk in ipairs(line) do
        is_text(what .. ' (below)', chunk[1])
      end
    end
  end
end

require('claudecluster').setup()
user.open(workspace .. '/base.txt')
local file = vim.api.nvim_get_current_buf()
vim.cmd('ClaudeCluster goals')
local board = vim.api.nvim_get_current_buf()
eventually('the goal is listed', function()
  return table.concat(vim.api.nvim_buf_get_lines(board, 0, -1, false), '\n'):find('g1', 1, true)
end)
user.press('zR')
buffer_is_text('the buffer of goals', board)
-- Every line that floats something.
for line = 3, vim.api.nvim_buf_line_count(board) do
  vim.api.nvim_win_set_cursor(0, { line, 0 })
  user.press('K')
  vim.wait(100, function()
    return user.float() ~= nil
  end)
  local float = user.float()
  if float then
    is_text('a float of line ' .. line, (float:gsub('\n', '')))
    vim.cmd('fclose!')
  end
end
vim.cmd('buffer ' .. file)
for _, mode in ipairs({ 'quickfix', 'inline' }) do
  pcall(vim.cmd, 'ClaudeCluster ' .. mode)
end
eventually('what is proposed is marked', function()
  return #vim.api.nvim_buf_get_extmarks(file, -1, 0, -1, {}) > 0 or #vim.diagnostic.get(file) > 0
end)
buffer_is_text('a file with changes', file)
for _, problem in ipairs(vim.diagnostic.get(file)) do
  is_text('a problem', problem.message)
end
for _, command in ipairs({ 'cancel g1', 'retry g1', 'accept g1', 'undo g1' }) do
  pcall(vim.cmd, 'ClaudeCluster ' .. command)
end
eventually('the plugin has said something', function()
  return #said > 0
end)
for _, message in ipairs(said) do
  is_text('a message', (message:gsub('\n', '')))
end
check(vim.uv.fs_stat(workspace .. '/pwned') == nil, 'nothing was run')
user.stop()
